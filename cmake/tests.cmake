# tests/test_NAME.c is one test program and may link every room; tests/cli_NAME.sh is a transcript of the program; bench_NAME.c a
# benchmark, which is built and not run; fuzz_NAME.c a libFuzzer target. All run in the project's root.

# What tests, benchmarks and fuzzers may use: every room, and what the rooms are made of. FFmpeg is quiet in them.
add_library(ib_quiet OBJECT tests/quiet.c)
target_link_libraries(ib_quiet PRIVATE ib_flags)
# GCC 12 for aarch64 fails with an internal error (vect_transform_reduction) on loops of the oracles in test_nn.c.
set(ib_test_flags $<$<AND:$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},aarch64>,$<C_COMPILER_ID:GNU>>:-fno-tree-vectorize>)
set(ib_all ib_quiet ib_flags ${IB_ROOMS} ib_blas PkgConfig::JANSSON PkgConfig::HDF5 PkgConfig::AV OpenMP::OpenMP_C Threads::Threads m)

if(INBETWEEN_TESTS)
    add_executable(ib_scenes tools/scenes.c tools/scene.c tools/scene_varied.c tools/texture.c)
    target_link_libraries(ib_scenes PRIVATE ib_flags ib_video_io ib_base OpenMP::OpenMP_C m)

    add_executable(ib_frame_hash tools/frame_hash.c)
    target_link_libraries(ib_frame_hash PRIVATE ib_flags ib_video_io ib_base)

    add_executable(ib_publish_adapter tools/publish_adapter.c)
    target_link_libraries(ib_publish_adapter PRIVATE ib_flags ib_adapter ib_base)

    add_executable(ib_clip_weights tools/clip_weights.c)
    target_link_libraries(ib_clip_weights PRIVATE ib_flags ib_base m)

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/test_*.c)
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_compile_options(${name} PRIVATE ${ib_test_flags})
        target_link_libraries(${name} PRIVATE ${ib_all})
        add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        list(APPEND ib_tests ${name})
    endforeach()

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/bench_*.c)
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE ${ib_all})
    endforeach()

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cli_*.sh)
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        add_test(NAME ${name} COMMAND bash ${source} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        list(APPEND ib_tests ${name})
    endforeach()
    if(INBETWEEN_SANITIZE OR INBETWEEN_FUZZERS)
        set(instrumented 1)
    endif()
    set_tests_properties(${ib_tests} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900 ENVIRONMENT
        "INBETWEEN=$<TARGET_FILE:inbetween>;IB_SCENES=$<TARGET_FILE:ib_scenes>;IB_CLIP_WEIGHTS=$<TARGET_FILE:ib_clip_weights>;IB_BUILD=${CMAKE_BINARY_DIR};IB_CC=${CMAKE_C_COMPILER};IB_INSTRUMENTED=${instrumented}")
endif()

if(INBETWEEN_FUZZERS)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz_*.c)
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE ${ib_all})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        # what is found goes into the build's corpus; the tree's is where it begins
        set(corpus ${CMAKE_BINARY_DIR}/corpus/${name})
        file(MAKE_DIRECTORY ${corpus})
        if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/tests/corpus/${name})
            list(APPEND corpus ${PROJECT_SOURCE_DIR}/tests/corpus/${name})
        endif()
        add_test(NAME ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
                 COMMAND ${name} -seed=1 -max_total_time=18 -rss_limit_mb=4096 -close_fd_mask=2 ${corpus})
        set_tests_properties(${name} PROPERTIES TIMEOUT 300)
    endforeach()
    # the program's parser, without the program
    add_library(ib_cli_parts OBJECT ${cli_sources})
    target_link_libraries(ib_cli_parts PRIVATE ib_flags PkgConfig::JANSSON PkgConfig::HDF5 OpenMP::OpenMP_C Threads::Threads)
    set_target_properties(ib_cli_parts PROPERTIES COMPILE_DEFINITIONS main=ib_cli_main)
    target_link_libraries(fuzz_options PRIVATE ib_cli_parts)
endif()
