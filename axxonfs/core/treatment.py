"""What an export does to what was recorded: whether the picture is encoded anew, and whether text is burnt into it.

Decides by the options alone. What is left to the export agent's own defaults
counts as those are shipped (no new encoding, soft subtitles): the interface does
not show them. Pure; imports the wire's messages. Facts: sections 1.2 and 5 of the
wire contract.
"""

import dataclasses

from axxonfs.wire import export_pb2

_AS_RECORDED = export_pb2.EQuality.C_NORMAL
_EVERY_FRAME = export_pb2.EFrameFrequency.FF_ORIGINAL
_CHANGES_PICTURE = {
    "crop_area": "a part of the picture is cut out",
    "mask_space": "parts of the picture are masked",
    "mask_detector": "objects are masked",
    "fisheye_info": "the fisheye picture is made flat",
}
_MATROSKA = frozenset({export_pb2.StreamType.DEFAULT, export_pb2.StreamType.MKV})


@dataclasses.dataclass(frozen=True, slots=True)
class Treatment:
    """`recompressed` is None where it is not known; then `reasons` says why not."""

    recompressed: bool | None
    reasons: tuple[str, ...]
    burnt_in: bool


def treatment_of(options: export_pb2.Options) -> Treatment:
    """Return what an export with these options does to the picture."""
    burnt_in = _burns_text(options)
    if not options.HasField("stream"):
        return Treatment(recompressed=True, reasons=("a frame is a picture of its own",), burnt_in=burnt_in)
    reasons = [*(["text is burnt into the picture"] if burnt_in else []), *_stream_reasons(options.stream)]
    reasons += dict.fromkeys(_picture_reasons(options))
    if reasons:
        return Treatment(recompressed=True, reasons=tuple(reasons), burnt_in=burnt_in)
    doubts = tuple(_doubts(options.stream))
    return Treatment(recompressed=None if doubts else False, reasons=doubts, burnt_in=burnt_in)


def _burns_text(options: export_pb2.Options) -> bool:
    hard = export_pb2.SubtitleInfo.SM_HARD
    return any(
        setting.burn_subtitle
        or hard in (setting.subtitle_cast.common_info_mode, setting.subtitle_cast.stream_data_mode)
        for setting in options.settings
    )


def _stream_reasons(stream: export_pb2.StreamType) -> list[str]:
    reasons = ["avi is always encoded anew"] if stream.format == export_pb2.StreamType.AVI else []
    for setting in stream.settings:
        choice = setting.WhichOneof("setting")
        if choice == "video_quality" and setting.video_quality != _AS_RECORDED:
            reasons.append("a quality was chosen")
        if choice == "frame_frequency" and setting.frame_frequency != _EVERY_FRAME:
            reasons.append("frames are left out")
    return reasons


def _picture_reasons(options: export_pb2.Options) -> list[str]:
    sources = options.live.sources if options.HasField("live") else options.archive.sources
    choices = [setting.WhichOneof("setting") or "" for source in sources for setting in source.settings]
    reasons = [_CHANGES_PICTURE[choice] for choice in choices if choice in _CHANGES_PICTURE]
    reasons += ["areas are marked" for setting in options.settings if setting.highlight_areas]
    reasons += ["masks are applied" for setting in options.settings if setting.apply_mask or setting.invert_mask]
    return reasons


def _doubts(stream: export_pb2.StreamType) -> list[str]:
    doubts = [] if stream.format in _MATROSKA else ["whether this format forces a new encoding is not documented"]
    codecs = [setting.video_codec for setting in stream.settings if setting.WhichOneof("setting") == "video_codec"]
    if any(codec != export_pb2.EVideoCodec.VC_DEFAULT for codec in codecs):
        doubts.append("whether a chosen codec forces a new encoding is not documented")
    return doubts
