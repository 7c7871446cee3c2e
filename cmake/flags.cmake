# Flags per target, never global.
set(IOL_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wcast-qual -Wundef -Wvla -Wdouble-promotion -Wformat=2 -Wnull-dereference -Wwrite-strings)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "build type" FORCE)
endif()

function(iol_target_flags target)
    target_compile_options(${target} PRIVATE ${IOL_WARNINGS} -ffp-contract=off -fvisibility=hidden
                           $<$<BOOL:${IOL_WERROR}>:-Werror>
                           $<$<CONFIG:Release>:-O2 -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
    if(IOL_SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=${IOL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    endif()
    target_compile_features(${target} PRIVATE c_std_11)
    set_target_properties(${target} PROPERTIES C_EXTENSIONS OFF)
endfunction()

function(iol_link_flags target)
    target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
    if(IOL_SANITIZE)
        target_link_options(${target} PRIVATE -fsanitize=${IOL_SANITIZE})
    endif()
endfunction()
