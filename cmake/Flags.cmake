# How everything is compiled. `tutti_flags` is linked into every target; SANITIZE is a -fsanitize= list.
set(SANITIZE "" CACHE STRING "sanitizers for -fsanitize=, e.g. address,undefined")
option(TUTTI_WERROR "treat warnings as errors" OFF)
option(TUTTI_TESTS "build the tests" ON)
option(TUTTI_FUZZ "build libFuzzer targets (clang)" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # statement expressions and cleanup attributes (base/mem.h)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
include(CheckPIESupported)
check_pie_supported()

add_library(tutti_flags INTERFACE)
target_compile_definitions(tutti_flags INTERFACE _GNU_SOURCE)
target_include_directories(tutti_flags INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_compile_options(tutti_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef -Wpointer-arith
  -Wimplicit-fallthrough -fno-common $<$<BOOL:${TUTTI_WERROR}>:-Werror>)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(tutti_flags INTERFACE -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  target_link_options(tutti_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(SANITIZE)
  target_compile_options(tutti_flags INTERFACE -fsanitize=${SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tutti_flags INTERFACE -fsanitize=${SANITIZE})
endif()
