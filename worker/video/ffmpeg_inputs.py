"""What ffmpeg may open and decode: allow-lists, put before every input of a command line.

What lives here: the lists and how they are put in. What may not: starting anything.

Lists of demuxers keep out everything that opens other files (playlists, concat scripts, image
sequences, DASH and HLS manifests, devices); protocols are those of local files and pipes, so even
a demuxer that follows a reference gets no further than the file itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from worker.domain.errors import EngineError
from worker.video import structure

PROTOCOLS = "file,pipe"

# Names of libavformat's demuxers; one name of a demuxer that has several is enough.
DEMUXERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,mxf,gxf,nut,ivf,dv,rm,wtv,"
    "h264,hevc,m4v,vc1,obu,av1,cavsvideo,dirac,h263,h261,yuv4mpegpipe,mjpeg,"
    "wav,w64,mp3,aac,flac,aiff,caf,au,ac3,eac3,dts,truehd,amr,ape,tta,wv,opus,"
    "srt,webvtt,ass"
)
_PCM = (
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16le,pcm_s16be,pcm_s16le_planar,pcm_s16be_planar,pcm_u16le,"
    "pcm_u16be,pcm_s24le,pcm_s24be,pcm_s24le_planar,pcm_s24daud,pcm_u24le,pcm_u24be,pcm_s32le,"
    "pcm_s32be,pcm_s32le_planar,pcm_u32le,pcm_u32be,pcm_s64le,pcm_s64be,pcm_f16le,pcm_f24le,"
    "pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,pcm_vidc,pcm_bluray,pcm_dvd,pcm_lxf"
)
# Decoders of cameras, phones, browsers, editing programs and discs; both names where a build may
# have a library instead. libavcodec has some 500; what is not needed is not exposed to uploads.
DECODERS = ",".join(
    (
        "h264,hevc,vvc,av1,libdav1d,libaom-av1,vp8,vp9,vp7,vp6,vp6a,vp6f,libvpx,libvpx-vp9,theora",
        "mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h261,h263,h263i,h263p",
        "flv,vc1,vc1image,wmv1,wmv2,wmv3,wmv3image,rv10,rv20,rv30,rv40,svq1,svq3,cinepak,indeo4",
        "indeo5,cavs,dirac,prores,dnxhd,cfhd,dvvideo,mjpeg,mjpegb,jpeg2000,libopenjpeg,png,bmp",
        "qtrle,rpza,smc,8bps,hap,ffv1,ffvhuff,huffyuv,utvideo,magicyuv,lagarith,rawvideo,v210",
        "v210x,v308,v408,v410,r210,y41p,yuv4,wrapped_avframe,zlib,tscc,flashsv,flashsv2,snow",
        "aac,aac_fixed,aac_latm,libfdk_aac,mp1,mp1float,mp2,mp2float,mp3,mp3float,mp3adu,mp3on4",
        "ac3,ac3_fixed,eac3,dca,truehd,mlp,opus,libopus,vorbis,libvorbis,flac,alac,ape,tta,wavpack",
        "wmav1,wmav2,wmapro,wmalossless,wmavoice,cook,ra_144,ra_288,sipr,amrnb,amrwb",
        "libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,libgsm,libgsm_ms,speex,libspeex,nellymoser",
        "qdm2,qdmc,mace3,mace6,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,s302m",
        "g722,adpcm_g722,g726,adpcm_g726,dss_sp",
        _PCM,
        "mov_text,text,subrip,srt,ass,ssa,webvtt,microdvd,sami,stl,eia_608,cc_dec,libzvbi_teletext",
        "dvbsub,dvdsub,pgssub,xsub",
    )
)
_LOOK_AHEAD = "600000000"
"""Microseconds of a file that may be read to find out what its tracks are; ffmpeg stops after 5
MB in any case, and where it knows all. Its own 5 s end before the second picture of slides, which
in a transport stream is where the first is known to be whole."""
_OTHER_NAMES = {"dca": "dts", "amrnb": "amr_nb", "amrwb": "amr_wb"}
CODECS = frozenset(_OTHER_NAMES.get(name, name) for name in DECODERS.split(","))
"""What the decoders decode, by the names that ffprobe gives; libraries are among them by theirs."""


def guarded(arguments: Sequence[str], opened: Sequence[str] = ()) -> list[str]:
    """The arguments with the allow-lists before every ``-i``; all inputs come before any output.

    A demuxer named by the caller itself (``-f concat -i file:LIST``, ``-f lavfi -i anullsrc``) is
    the caller's own making and is allowed for that input. Of a recording that is cut off only what
    is whole is handed on: ffmpeg refuses all of it where the index of a fragment is not.

    Raises:
        EngineError: an input is not given as ``file:PATH`` or ``pipe:``; a defect of the caller.
    """
    result: list[str] = []
    forced = ""
    rest = iter(arguments)
    for argument in rest:
        if argument == "-f":
            forced = next(rest, "")
            result += [argument, forced]
        elif argument == "-i":
            source = next(rest, "")
            whole = source if forced else _whole(source)
            result += [] if forced else ["-analyzeduration", _LOOK_AHEAD]
            result += [*_lists(source, forced, whole), *_opened(opened), argument, whole]
            forced = ""
        else:
            result.append(argument)
    return result


def _whole(source: str) -> str:
    """An input without the box that is cut off at its end, if one is."""
    path = Path(source.removeprefix("file:"))
    end = structure.cut_off(path) if path.is_file() else None
    if end is None or end == path.stat().st_size or not source.startswith("file:"):
        return source
    return f"subfile,,start,0,end,{end},,:{source}"


def _opened(names: Sequence[str]) -> list[str]:
    """More decoders of sound and text for the program itself; libavformat, which decodes what it
    needs to know of a track, keeps to the list without them."""
    if not names:
        return []
    more = ",".join((DECODERS, *names))
    return ["-codec_whitelist:a", more, "-codec_whitelist:s", more]


def _lists(source: str, forced: str, whole: str) -> list[str]:
    if forced == "lavfi":
        return []
    if not source.startswith(("file:", "pipe:")):
        raise EngineError(f"an input of ffmpeg must be file:PATH or pipe:, not {source!r}")
    demuxers = f"{DEMUXERS},{forced}" if forced else DEMUXERS
    protocols = PROTOCOLS if whole == source else f"{PROTOCOLS},subfile"
    lists = {"protocol": protocols, "format": demuxers, "codec": DECODERS}
    return [word for name, names in lists.items() for word in (f"-{name}_whitelist", names)]


def read_files(arguments: Sequence[str]) -> list[Path]:
    """The files that are read, without those of a demuxer that the caller names itself."""
    files: list[Path] = []
    forced = False
    for option, value in pairwise(arguments):
        if option == "-f":
            forced = True
        elif option == "-i":
            if value.startswith("file:") and not forced:
                files.append(Path(value.removeprefix("file:")))
            forced = False
    return files
