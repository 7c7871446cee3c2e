# Debian 12 packages by name: libsleef-dev libsqlite3-dev libjansson-dev libpcre2-dev libutf8proc-dev libxxhash-dev.
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(PkgConfig REQUIRED)
set(IOL_PKG_MODULES sleef sqlite3 jansson libpcre2-8 libutf8proc libxxhash)

add_library(iol_dependencies INTERFACE)
target_link_libraries(iol_dependencies INTERFACE OpenMP::OpenMP_C m)
set(IOL_PKG_LIBS "")
foreach(pair "sleef=sleef" "sqlite3=sqlite3" "jansson=jansson" "pcre2-8=pcre2" "utf8proc=utf8proc" "xxhash=xxhash")
    string(REGEX MATCH "^([^=]+)=(.*)$" _ ${pair})
    set(name ${CMAKE_MATCH_1})
    find_library(IOL_LIB_${name} ${name})
    if(NOT IOL_LIB_${name})
        message(FATAL_ERROR "library ${name} not found: install the Debian package lib${CMAKE_MATCH_2}-dev "
                            "(tests/run.sh --setup installs everything)")
    endif()
    target_link_libraries(iol_dependencies INTERFACE ${IOL_LIB_${name}})
    list(APPEND IOL_PKG_LIBS -l${name})
endforeach()
