# Adds the scorer to an engine's own build: one more target of llama.cpp's CMake tree, of which no file is edited.
#
#   cmake -S LLAMA_CPP -B BUILD -DCMAKE_PROJECT_llama.cpp_INCLUDE=.../scorer/inject.cmake ...
#   cmake --build BUILD --target kvsweep-scorer
#
# `project()` includes this file before the engine has made its targets; the rest waits until it has. (A subdirectory
# cannot be added that late, a target can.)
# The arguments of a deferred call are evaluated when it runs, hence the EVAL.
cmake_language(EVAL CODE
    "cmake_language(DEFER DIRECTORY [[${CMAKE_CURRENT_SOURCE_DIR}]] CALL include [[${CMAKE_CURRENT_LIST_DIR}/scorer.cmake]])")
