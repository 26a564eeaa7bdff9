# What is installed: the program, libinbetween (static and shared) from all rooms but cli, the rooms' public headers, pkg-config
# files, the man page and the shells' completions.

# The faces of the rooms, the only headers that keep their promises from one version to the next. What they mark with IB_API is
# what the shared library shows.
set(IB_PUBLIC_HEADERS
    base/api.h base/error.h base/file.h base/memory.h base/rng.h base/safetensors.h base/stop.h
    video_io/frame.h video_io/reader.h video_io/writer.h video_io/cuts.h
    latent/space.h latent/geometry.h latent/patch.h latent/latent_file.h latent/encode.h
    adapter/adapter.h weights/average.h render/clip.h render/embeddings.h render/modality_gap.h eval/eval.h eval/score.h train/train.h merge/merge.h)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${IB_PUBLIC_HEADERS})

set(ib_dependencies PkgConfig::JANSSON PkgConfig::NETTLE PkgConfig::AV PkgConfig::HDF5 ib_blas ib_unistring OpenMP::OpenMP_C
                    Threads::Threads ib_mpi m)
add_library(inbetween_static STATIC ${IB_OBJECTS})
set_target_properties(inbetween_static PROPERTIES OUTPUT_NAME inbetween)
install(TARGETS inbetween inbetween_static)
if(INBETWEEN_SHARED)
    add_library(inbetween_shared SHARED ${IB_OBJECTS})
    set_target_properties(inbetween_shared PROPERTIES
        OUTPUT_NAME inbetween VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    target_link_libraries(inbetween_shared PRIVATE ib_flags ${ib_dependencies})
    # Hidden visibility does not reach what compilers add: resolvers of functions in several versions, names of critical sections.
    include(CheckLinkerFlag)
    set(ib_exports ${PROJECT_BINARY_DIR}/exports.map)
    file(WRITE ${PROJECT_BINARY_DIR}/try.map "{ global: *; };\n")
    check_linker_flag(C -Wl,--version-script=${PROJECT_BINARY_DIR}/try.map IB_LINKER_TAKES_EXPORTS)
    if(IB_LINKER_TAKES_EXPORTS)
        set(names "")
        foreach(header ${IB_PUBLIC_HEADERS})
            file(READ ${header} text)
            string(REPLACE "[" "(" text "${text}")
            string(REGEX MATCHALL "IB_API [^();]*ib_[a-z0-9_]+\\(" marked "${text}")
            foreach(start ${marked})
                string(REGEX MATCH "(ib_[a-z0-9_]+).$" ignored "${start}")
                string(APPEND names "${CMAKE_MATCH_1}; ")
            endforeach()
        endforeach()
        file(CONFIGURE OUTPUT ${ib_exports} CONTENT "{ global: ${names}local: *; };\n")
        target_link_options(inbetween_shared PRIVATE -Wl,--version-script=${ib_exports})
        set_target_properties(inbetween_shared PROPERTIES LINK_DEPENDS ${ib_exports})
    endif()
    install(TARGETS inbetween_shared)
endif()

foreach(header ${IB_PUBLIC_HEADERS})
    get_filename_component(room ${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/inbetween/${room})
endforeach()

# inbetween.pc is for the shared library, inbetween-static.pc for ours static and what it needs shared.
list(JOIN IB_AV_MODULES " " ib_av)
set(IB_PC_REQUIRES "${ib_av} ${HDF5_MODULE_NAME} jansson nettle")
set(IB_PC_LIBS "-L${IB_OPENBLAS_DIR} -Wl,-rpath,${IB_OPENBLAS_DIR} -lopenblas -lunistring ${OpenMP_C_FLAGS} -lpthread -lm")
foreach(library ${MPI_C_LIBRARIES})
    string(APPEND IB_PC_LIBS " ${library}")
endforeach()
foreach(name inbetween inbetween-static)
    configure_file(cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc.part @ONLY)
    # the prefix may be named as late as `cmake --install --prefix`
    install(CODE "
        set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
        get_filename_component(prefix \"\${prefix}\" ABSOLUTE)
        file(READ \"${CMAKE_BINARY_DIR}/${name}.pc.part\" text)
        file(WRITE \"${CMAKE_BINARY_DIR}/${name}.pc\" \"prefix=\${prefix}\\n\${text}\")
        file(INSTALL \"${CMAKE_BINARY_DIR}/${name}.pc\"
             DESTINATION \"\${prefix}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\")")
endforeach()

# The program itself knows its options: the pages cannot lag behind it.
if(INBETWEEN_PAGES AND NOT CMAKE_CROSSCOMPILING)
    function(ib_page file destination)
        set(page ${CMAKE_BINARY_DIR}/pages/${file})
        get_filename_component(folder ${page} DIRECTORY)
        file(MAKE_DIRECTORY ${folder})
        add_custom_command(OUTPUT ${page} COMMAND inbetween ${ARGN} > ${page} DEPENDS inbetween VERBATIM)
        install(FILES ${page} DESTINATION ${destination})
        set(ib_page_files ${ib_page_files} ${page} PARENT_SCOPE)
    endfunction()
    ib_page(inbetween.1 ${CMAKE_INSTALL_MANDIR}/man1 --man)
    ib_page(bash/inbetween ${CMAKE_INSTALL_DATADIR}/bash-completion/completions --completion bash)
    ib_page(zsh/_inbetween ${CMAKE_INSTALL_DATADIR}/zsh/site-functions --completion zsh)
    ib_page(fish/inbetween.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d --completion fish)
    add_custom_target(ib_pages ALL DEPENDS ${ib_page_files})
endif()
