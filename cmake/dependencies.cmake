# What we stand on. Everything here is in Debian 12; tools/setup.sh installs it.

find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
# FFmpeg 5.1 to 8: video_io/av_compat.h
set(IB_AV_MODULES libavformat libavcodec libavutil libswscale libavfilter)
pkg_check_modules(AV REQUIRED IMPORTED_TARGET libavformat>=59.27 libavcodec>=59.37 libavutil>=57.28 libswscale>=6.7 libavfilter>=8.44)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
# Debian's libunistring has no pkg-config file.
find_library(IB_UNISTRING_LIBRARY unistring REQUIRED)
find_path(IB_UNISTRING_INCLUDE unistr.h REQUIRED)
add_library(ib_unistring INTERFACE)
target_link_libraries(ib_unistring INTERFACE ${IB_UNISTRING_LIBRARY})
target_include_directories(ib_unistring SYSTEM INTERFACE ${IB_UNISTRING_INCLUDE})
pkg_search_module(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial hdf5)

# OpenBLAS in its OpenMP build, so that our threads and its threads are one pool. Debian keeps its flavours side by side and lets
# "openblas" mean any of them: ours is looked for first under its own name.
find_library(IB_OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-openmp NO_CACHE)
find_path(IB_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp NO_CACHE)
add_library(ib_blas INTERFACE)
if(IB_OPENBLAS_LIBRARY MATCHES "openblas-openmp" AND IB_OPENBLAS_INCLUDE MATCHES "openblas-openmp")
    get_filename_component(IB_OPENBLAS_DIR ${IB_OPENBLAS_LIBRARY} DIRECTORY)
    target_link_libraries(ib_blas INTERFACE ${IB_OPENBLAS_LIBRARY})
    target_include_directories(ib_blas SYSTEM INTERFACE ${IB_OPENBLAS_INCLUDE})
else()
    pkg_check_modules(BLAS REQUIRED IMPORTED_TARGET openblas)
    target_link_libraries(ib_blas INTERFACE PkgConfig::BLAS)
    list(GET BLAS_LINK_LIBRARIES 0 IB_OPENBLAS_LIBRARY)
    get_filename_component(IB_OPENBLAS_DIR ${IB_OPENBLAS_LIBRARY} DIRECTORY)
endif()

if(NOT CMAKE_CROSSCOMPILING AND NOT DEFINED CACHE{IB_OPENBLAS_KIND})
    file(WRITE ${PROJECT_BINARY_DIR}/openblas_kind.c
         "int openblas_get_parallel(void);\nint main(void) { return openblas_get_parallel(); }\n")
    try_run(IB_OPENBLAS_KIND IB_OPENBLAS_COMPILES ${PROJECT_BINARY_DIR}/try ${PROJECT_BINARY_DIR}/openblas_kind.c
            LINK_LIBRARIES ${IB_OPENBLAS_LIBRARY})
endif()
if(NOT CMAKE_CROSSCOMPILING AND NOT IB_OPENBLAS_KIND EQUAL 2)
    message(WARNING "The OpenBLAS found (${IB_OPENBLAS_LIBRARY}) is not the OpenMP build: results are the same, but its threads and "
                    "ours get into each other's way. On Debian: apt-get install libopenblas-openmp-dev")
endif()

# MPI is for clusters alone, and one file (train/exchange_mpi.c) calls it. A build without it says so when it is asked for.
add_library(ib_mpi INTERFACE)
if(INBETWEEN_MPI)
    find_package(MPI COMPONENTS C)
    if(MPI_C_FOUND)
        target_link_libraries(ib_mpi INTERFACE MPI::MPI_C)
        target_compile_definitions(ib_mpi INTERFACE IB_HAVE_MPI)
    endif()
endif()
