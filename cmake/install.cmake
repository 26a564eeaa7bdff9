# libinbetween (static and shared) from all rooms but cli, and what is installed: the program, the libraries, their headers, what
# pkg-config and find_package need, the man page and the shells' completions.

# The faces of the rooms, the only headers that keep their promises from one version to the next. What they mark with IB_API is
# what the shared library shows.
set(IB_PUBLIC_HEADERS
    base/api.h base/error.h base/file.h base/memory.h base/rng.h base/safetensors.h base/stop.h base/version.h
    video_io/frame.h video_io/reader.h video_io/writer.h video_io/cuts.h
    latent/space.h latent/geometry.h latent/patch.h latent/latent_file.h latent/guides.h latent/windows.h
    motion/pair.h adapter/adapter.h adapter/estimate.h adapter/named.h weights/average.h search/asked.h guide/guide.h guide/encode.h render/movie.h render/renderer.h render/retime.h render/embeddings.h render/modality_gap.h eval/eval.h eval/score.h train/train.h merge/merge.h)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${IB_PUBLIC_HEADERS})

function(ib_write file text) # leaves the file alone where it is so already: nothing is built again for it
    set(before "")
    if(EXISTS ${file})
        file(READ ${file} before)
    endif()
    if(NOT text STREQUAL before)
        file(WRITE ${file} "${text}")
    endif()
endfunction()

# For programs, all headers lie under one folder, inbetween/, and include each other through it; inbetween/inbetween.h includes all.
set(ib_include ${PROJECT_BINARY_DIR}/include)
set(umbrella "/* All of libinbetween. */\n#ifndef IB_INBETWEEN_H\n#define IB_INBETWEEN_H\n\n")
set(names "") # what is marked with IB_API
foreach(header ${IB_PUBLIC_HEADERS})
    file(READ ${header} text)
    string(REGEX REPLACE "#include \"([a-z_]+/[a-z_0-9]+\\.h)\"" "#include <inbetween/\\1>" for_programs "${text}")
    ib_write(${ib_include}/inbetween/${header} "${for_programs}")
    string(APPEND umbrella "#include <inbetween/${header}>\n")
    string(REPLACE "[" "(" text "${text}")
    string(REGEX MATCHALL "IB_API [^();]*ib_[a-z0-9_]+\\(" marked "${text}")
    foreach(start ${marked})
        string(REGEX MATCH "(ib_[a-z0-9_]+).$" ignored "${start}")
        string(APPEND names "${CMAKE_MATCH_1}; ")
    endforeach()
endforeach()
ib_write(${ib_include}/inbetween/inbetween.h "${umbrella}\n#endif\n")
ib_write(${PROJECT_BINARY_DIR}/exports.map "{ global: ${names}local: *; };\n")

set(ib_dependencies PkgConfig::JANSSON PkgConfig::NETTLE PkgConfig::AV PkgConfig::HDF5 ib_blas ib_unistring OpenMP::OpenMP_C
                    ${CMAKE_DL_LIBS} Threads::Threads ib_mpi m)
# A program that links the static library links these too: by the names that inbetweenConfig.cmake gives them, once installed.
set(ib_installed_dependencies PkgConfig::inbetween_needs ${IB_OPENBLAS_LIBRARY} unistring ${OpenMP_C_FLAGS} ${MPI_C_LIBRARIES} pthread m)
add_library(inbetween_static STATIC ${IB_OBJECTS})
set_target_properties(inbetween_static PROPERTIES OUTPUT_NAME inbetween)
foreach(library ${ib_dependencies})
    target_link_libraries(inbetween_static INTERFACE $<BUILD_INTERFACE:$<LINK_ONLY:${library}>>)
endforeach()
target_link_libraries(inbetween_static INTERFACE "$<INSTALL_INTERFACE:${ib_installed_dependencies}>")
set(ib_libraries inbetween_static)
if(INBETWEEN_SHARED)
    # while the major version is 0, every minor one may break programs
    set(ib_soversion ${PROJECT_VERSION_MAJOR})
    if(ib_soversion EQUAL 0)
        set(ib_soversion 0.${PROJECT_VERSION_MINOR})
    endif()
    add_library(inbetween_shared SHARED ${IB_OBJECTS})
    set_target_properties(inbetween_shared PROPERTIES
        OUTPUT_NAME inbetween EXPORT_NAME inbetween VERSION ${PROJECT_VERSION} SOVERSION ${ib_soversion})
    target_link_libraries(inbetween_shared PRIVATE ib_flags ${ib_dependencies})
    # Hidden visibility does not reach what compilers add: resolvers of functions in several versions, names of critical sections.
    include(CheckLinkerFlag)
    file(WRITE ${PROJECT_BINARY_DIR}/try.map "{ global: *; };\n")
    check_linker_flag(C -Wl,--version-script=${PROJECT_BINARY_DIR}/try.map IB_LINKER_TAKES_EXPORTS)
    if(IB_LINKER_TAKES_EXPORTS)
        target_link_options(inbetween_shared PRIVATE -Wl,--version-script=${PROJECT_BINARY_DIR}/exports.map)
        set_target_properties(inbetween_shared PROPERTIES LINK_DEPENDS ${PROJECT_BINARY_DIR}/exports.map)
    endif()
    list(APPEND ib_libraries inbetween_shared)
    add_library(inbetween::inbetween ALIAS inbetween_shared)
    add_library(inbetween::inbetween_static ALIAS inbetween_static)
else()
    set_target_properties(inbetween_static PROPERTIES EXPORT_NAME inbetween)
    add_library(inbetween::inbetween ALIAS inbetween_static)
endif()
foreach(library ${ib_libraries})
    target_include_directories(${library} INTERFACE $<BUILD_INTERFACE:${ib_include}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

# The build tree has the files that come with the program where an installed one has them, as soon as they are there.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models ${PROJECT_BINARY_DIR}/share/inbetween SYMBOLIC)

if(NOT INBETWEEN_INSTALL)
    return()
endif()
install(TARGETS inbetween)
# the default adapter and the tiny world, where base/beside.c looks for them
install(FILES models/default.safetensors models/default.sources.tsv DESTINATION ${CMAKE_INSTALL_DATADIR}/inbetween OPTIONAL)
install(DIRECTORY models/tinyworld DESTINATION ${CMAKE_INSTALL_DATADIR}/inbetween)
install(TARGETS ${ib_libraries} EXPORT inbetween)
install(FILES ${ib_include}/inbetween/inbetween.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/inbetween)
foreach(header ${IB_PUBLIC_HEADERS})
    get_filename_component(room ${header} DIRECTORY)
    install(FILES ${ib_include}/inbetween/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/inbetween/${room})
endforeach()

# find_package(inbetween): targets inbetween::inbetween (shared where it was built) and inbetween::inbetween_static
include(CMakePackageConfigHelpers)
list(JOIN IB_AV_MODULES " " ib_av)
set(IB_PC_REQUIRES "${ib_av} ${HDF5_MODULE_NAME} jansson nettle")
set(ib_config ${CMAKE_INSTALL_LIBDIR}/cmake/inbetween)
configure_package_config_file(cmake/inbetweenConfig.cmake.in ${PROJECT_BINARY_DIR}/inbetweenConfig.cmake INSTALL_DESTINATION ${ib_config}
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/inbetweenConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/inbetweenConfig.cmake ${PROJECT_BINARY_DIR}/inbetweenConfigVersion.cmake DESTINATION ${ib_config})
install(EXPORT inbetween FILE inbetweenTargets.cmake NAMESPACE inbetween:: DESTINATION ${ib_config})

# pkg-config: what the library itself stands on, as shared libraries, is private where ours is shared too, for `pkg-config --static`.
# It is not in Requires.private, which would ask for all that FFmpeg was made of.
set(libraries ${AV_LDFLAGS} ${HDF5_LDFLAGS} ${JANSSON_LDFLAGS} ${NETTLE_LDFLAGS} -L${IB_OPENBLAS_DIR} -Wl,-rpath,${IB_OPENBLAS_DIR}
              -lopenblas -lunistring ${OpenMP_C_FLAGS} -lpthread -lm ${MPI_C_LIBRARIES})
list(JOIN libraries " " IB_PC_LIBS)
if(INBETWEEN_SHARED)
    set(IB_PC_PRIVATE_LIBS " ${IB_PC_LIBS}")
else()
    set(IB_PC_PUBLIC_LIBS " ${IB_PC_LIBS}")
endif()
configure_file(cmake/inbetween.pc.in ${PROJECT_BINARY_DIR}/inbetween.pc.part @ONLY)
# the prefix may be named as late as `cmake --install --prefix`
install(CODE "
    set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
    get_filename_component(prefix \"\${prefix}\" ABSOLUTE)
    file(READ \"${PROJECT_BINARY_DIR}/inbetween.pc.part\" text)
    file(WRITE \"${PROJECT_BINARY_DIR}/inbetween.pc\" \"prefix=\${prefix}\\n\${text}\")
    file(INSTALL \"${PROJECT_BINARY_DIR}/inbetween.pc\"
         DESTINATION \"\${prefix}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\")")

# The program itself knows its options: the pages cannot lag behind it.
if(INBETWEEN_PAGES AND NOT CMAKE_CROSSCOMPILING)
    function(ib_page file destination)
        set(page ${PROJECT_BINARY_DIR}/pages/${file})
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
