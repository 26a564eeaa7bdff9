/* Which FFmpeg this is. */
#ifndef IB_VIDEO_IO_VERSIONS_H
#define IB_VIDEO_IO_VERSIONS_H

#ifdef __cplusplus
extern "C" {
#endif

/* FFmpeg's own version text, as "5.1.6-0+deb12u1". */
const char *ib_ffmpeg_version(void);

#ifdef __cplusplus
}
#endif
#endif
