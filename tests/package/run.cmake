cmake_minimum_required(VERSION 3.22)

# run(COMMAND ...): stops the script with the output of a command that fails.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Whether the consumer printed what it should.
function(check_consumer)
  if(NOT output MATCHES "^loss 1\\.0986\n$")
    message(FATAL_ERROR "the program printed \"${output}\"")
  endif()
endfunction()
