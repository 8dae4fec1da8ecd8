# One static library per directory of src/. The link lists are the layer table of docs/architecture.md: a forbidden call
# does not link. Static libraries are resolved only in the program, so each module also gets a link check: a shared
# object of its whole archive with exactly what it may use and -z defs.
add_custom_target(linkcheck)

function(tutti_module name)
  cmake_parse_arguments(M "" "DIR" "SOURCES;USES" ${ARGN})
  if(NOT M_SOURCES)
    if(NOT M_DIR)
      set(M_DIR ${name})
    endif()
    file(GLOB M_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${M_DIR}/*.c)
    list(FILTER M_SOURCES EXCLUDE REGEX "/outcome[^/]*\\.c$")
  endif()
  add_library(tutti_${name} STATIC ${M_SOURCES})
  target_include_directories(tutti_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tutti_${name} PUBLIC tutti_flags ${M_USES})
  if(NOT SANITIZE)
    file(WRITE ${CMAKE_BINARY_DIR}/linkcheck_${name}.c "")
    add_library(linkcheck_${name} SHARED EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/linkcheck_${name}.c)
    target_link_libraries(linkcheck_${name} PRIVATE
      -Wl,--whole-archive $<TARGET_FILE:tutti_${name}> -Wl,--no-whole-archive ${M_USES} -Wl,-z,defs)
    add_dependencies(linkcheck_${name} tutti_${name})
    add_dependencies(linkcheck linkcheck_${name})
  endif()
endfunction()

# The build id in every record is the commit; made anew at each build, the file changes only when the commit does.
add_custom_target(build_id
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/build_id.c
          -DVERSION=${PROJECT_VERSION} -P ${CMAKE_SOURCE_DIR}/cmake/BuildId.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/build_id.c)
add_library(tutti_build_id STATIC ${CMAKE_BINARY_DIR}/build_id.c)
target_include_directories(tutti_build_id PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(tutti_build_id PUBLIC tutti_flags)
add_dependencies(tutti_build_id build_id)

# Files that the program carries with it (src/app/embedded.h).
file(GLOB EMBEDDED RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/schemas/*.schema.json)
list(APPEND EMBEDDED config/tutti.yaml config/examples/first-jobs.jsonl)
list(TRANSFORM EMBEDDED PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE embedded_paths)
list(JOIN EMBEDDED "|" embedded_names)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/embedded.c
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} "-DFILES=${embedded_names}" -DOUT=${CMAKE_BINARY_DIR}/embedded.c
          -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  DEPENDS ${embedded_paths} ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake VERBATIM)
add_library(tutti_embedded STATIC ${CMAKE_BINARY_DIR}/embedded.c)
target_include_directories(tutti_embedded PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(tutti_embedded PUBLIC tutti_flags)

file(GLOB OUTCOME_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/core/outcome*.c)

tutti_module(base USES PkgConfig::JANSSON PkgConfig::CRYPTO m)
tutti_module(loop USES tutti_base PkgConfig::EVENT Threads::Threads)
tutti_module(outcome SOURCES ${OUTCOME_SOURCES} USES tutti_base)
tutti_module(core USES tutti_outcome tutti_loop tutti_base PkgConfig::JANSSON)
tutti_module(engine USES tutti_core tutti_loop tutti_base)
tutti_module(redis USES tutti_loop tutti_base PkgConfig::HIREDIS PkgConfig::EVENT PkgConfig::EVENT_OPENSSL PkgConfig::OPENSSL)
tutti_module(broker USES tutti_outcome tutti_loop tutti_base PkgConfig::RDKAFKA Threads::Threads)
tutti_module(http USES tutti_outcome tutti_loop tutti_base PkgConfig::CURL)
tutti_module(limiter USES tutti_redis tutti_outcome tutti_loop tutti_base)
tutti_module(journal USES tutti_redis tutti_outcome tutti_loop tutti_base PkgConfig::ZLIB)
tutti_module(provider USES tutti_outcome tutti_loop tutti_base)
tutti_module(merge USES tutti_outcome tutti_base PkgConfig::PCRE2 m)
tutti_module(sim USES tutti_loop tutti_base PkgConfig::EVENT PkgConfig::EVENT_EXTRA PkgConfig::JANSSON m)
tutti_module(app USES tutti_engine tutti_core tutti_broker tutti_http tutti_limiter tutti_journal tutti_redis
             tutti_provider tutti_merge tutti_sim tutti_build_id tutti_loop tutti_base PkgConfig::FYAML
             PkgConfig::EVENT_EXTRA)
tutti_module(cli USES tutti_app tutti_build_id tutti_embedded tutti_sim tutti_loop tutti_base PkgConfig::JANSSON)

add_executable(tutti src/main.c)
target_include_directories(tutti PRIVATE ${CMAKE_SOURCE_DIR}/src)
# Every object of every module is linked, so that what is tested is what is installed.
target_link_libraries(tutti PRIVATE tutti_flags tutti_cli tutti_app)
if(SANITIZE MATCHES "thread")
  target_sources(tutti PRIVATE ${CMAKE_SOURCE_DIR}/tests/tsan_shim.c)
  set_target_properties(tutti PROPERTIES ENABLE_EXPORTS ON)
endif()
install(TARGETS tutti RUNTIME DESTINATION bin)
