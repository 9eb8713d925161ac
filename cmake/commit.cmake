# Writes ${OUT} with the commit that is being built, when it has changed: cmake -DOUT= -DSOURCE= -P
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude "*"
  WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define FORETOKEN_COMMIT \"${commit}\"\n")
