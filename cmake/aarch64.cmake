# Cross-compilation with Debian's aarch64 tools; libraries come from the arm64 packages installed side by side.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
find_program(IOL_CROSS_CXX aarch64-linux-gnu-g++)
if(IOL_CROSS_CXX)
    set(CMAKE_CXX_COMPILER ${IOL_CROSS_CXX})
else()
    set(CMAKE_CXX_COMPILER "") # none: what needs C++ is left out, and the host's compiler is not taken
endif()
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_LIBRARY_PATH /usr/lib/aarch64-linux-gnu)
set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu)
# Run without -L: with it every OpenMP program spins forever under qemu-user.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
