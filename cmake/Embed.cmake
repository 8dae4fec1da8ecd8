# Writes OUT: every file of FILES (relative to SOURCE, separated by '|') as bytes, and the table src/app/embedded.h
# declares.
#   cmake -DSOURCE=... -DFILES=a|b -DOUT=embedded.c -P Embed.cmake
string(REPLACE "|" ";" files "${FILES}")
set(arrays "")
set(rows "")
set(i 0)
foreach(file ${files})
  file(READ ${SOURCE}/${file} hex HEX)
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "static const unsigned char file_${i}[] = {${bytes}0x00};\n")
  string(APPEND rows "    {\"${file}\", (const char *)file_${i}, ${length}},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "#include \"app/embedded.h\"\n${arrays}const struct embedded_file embedded_files[] = {\n${rows}    {0}};\n")
