"""The parts without threads: byte streams, the kept group, the line of time, locations."""

import itertools

import av
import pytest

from plait.media import STREET, Location, NotAVideo, annexb, profiles
from plait.media.group import LastGroup
from plait.media.timeline import Timeline
from plait.rtc import EncodedFrame

SPS, PPS, IDR, SLICE = b"\x67\x42\xc0\x1f", b"\x68\xce\x01", b"\x65\x88\x80", b"\x41\x9a\x02"
LONG, SHORT = b"\x00\x00\x00\x01", b"\x00\x00\x01"


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"", []),
        (b"\x00\x00\x01", []),
        (LONG + SLICE, [1]),
        (LONG + SPS + SHORT + PPS + SHORT + IDR, [7, 8, 5]),
        (LONG + SPS + b"\x00" + LONG + IDR, [7, 5]),
    ],
)
def test_units_of_a_byte_stream(data, kinds):
    assert annexb.kinds(data) == kinds
    assert [unit[0] & 0x1F for unit in annexb.units(data) if unit] == kinds


@pytest.mark.parametrize(
    "extradata",
    [
        LONG + SPS + SHORT + PPS,
        b"\x01\x42\xc0\x1f\xff\xe1\x00\x04" + SPS + b"\x01\x00\x03" + PPS,
    ],
)
def test_parameter_sets_of_either_form(extradata):
    assert annexb.parameter_sets(extradata) == LONG + SPS + LONG + PPS
    assert annexb.profile(annexb.parameter_sets(extradata)) == "42c01f"


@pytest.mark.parametrize(
    "extradata", [None, b"", b"\x01", b"\x01\x42\xc0\x1f\xff\xe1\x00\x04\x67", b"\xff" * 40]
)
def test_broken_extradata_gives_no_error(extradata):
    annexb.parameter_sets(extradata)


def test_profile_of_the_demo_clip():
    with av.open(STREET) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert annexb.profile(annexb.parameter_sets(extradata)) == "42c01f"


def frame(timestamp, *, key=False, size=10):
    return EncodedFrame(data=bytes(size), timestamp=timestamp, keyframe=key, codec="H264")


def test_group_is_drawn_together_before_the_newest_frame():
    group = LastGroup()
    for at in range(12):
        group.add(frame(900_000 + at * 9_000, key=at in {0, 10}))
    assert len(group) == 2
    assert group.interval == 1.0
    assert [(f.timestamp, f.keyframe) for f in group.replay()] == [(998_910, True), (999_000, False)]


@pytest.mark.parametrize("after", [999_000 - 5_000, 999_000 - 10, 999_000, 999_500])
def test_a_replay_goes_above_what_was_sent(after):
    group = LastGroup()
    for at in range(12):
        group.add(frame(900_000 + at * 9_000, key=at == 0))
    stamps = [f.timestamp for f in group.replay(after)]
    assert len(stamps) == 12
    assert stamps[0] > after
    assert all(one < other for one, other in itertools.pairwise(stamps))
    assert stamps[-1] < 999_000 + 9_000, "live frames must not have to be moved far"


def test_group_is_bounded_and_starts_at_a_keyframe():
    group = LastGroup(limit=100)
    group.add(frame(1))
    assert group.replay() == []
    group.add(frame(2, key=True, size=60))
    group.add(frame(3, size=60))
    assert group.replay() == []
    assert group.size == 0
    group.add(frame(4, size=10))
    assert group.replay() == []
    group.add(frame(500_000, key=True))
    assert len(group.replay()) == 1


def test_timeline_goes_on_over_laps_gaps_and_jumps():
    line = Timeline()
    start = line.place(5.0, 0.1)
    assert line.place(5.1, 0.1) == pytest.approx(start + 0.1)
    line.restart(5.0)
    assert line.place(5.0, 0.1) == pytest.approx(start + 0.2)
    line.restart(100.0, gap=3.0)
    assert line.place(100.0, 0.1) == pytest.approx(start + 3.3)
    assert line.place(9_000.0, 0.1) == pytest.approx(start + 3.4), "a jump is a new clock"
    assert line.place(0.0, 0.1) == pytest.approx(start + 3.5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("clip.mp4", "file"),
        ("/a/b.mkv", "file"),
        ("file:///a/b.mkv", "file"),
        ("rtsp://host/stream", "url"),
        ("HTTPS://host/x.mp4", "url"),
        ("/dev/video0", "device"),
        ("test:", "test"),
        ("test:1280x720", "test"),
        ("test:@5", "test"),
    ],
)
def test_locations(text, kind):
    assert Location.parse(text).kind == kind


def test_a_test_picture_that_cannot_be():
    with pytest.raises(NotAVideo, match="1280x720"):
        Location.parse("test:huge")


def test_a_password_is_not_shown():
    assert str(Location.parse("rtsp://me:secret@host:8554/x")) == "rtsp://host:8554/x"


def offer(*levels):
    lines = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000"]
    for number, level in enumerate(levels, 100):
        lines.append(f"a=rtpmap:{number} H264/90000")
        if level:
            lines.append(f"a=fmtp:{number} packetization-mode=1;profile-level-id={level}")
    return "\r\n".join(lines)


def test_profiles_of_an_offer():
    assert profiles.offered(offer("42e01f", "64001F", "")) == {"42e01f", "64001f", "42000a"}
    assert profiles.offered(offer()) == set()


@pytest.mark.parametrize(
    ("viewer", "stream", "plays"),
    [
        ({"42e01f"}, "42c01f", True),
        ({"42e01f"}, "4d401f", False),
        ({"42e01f", "4d001f"}, "4d401f", True),
        ({"64001f"}, "4d401f", True),
        ({"4d001f"}, "640028", False),
        (set(), "42c01f", False),
        ({"42e01f"}, "", True),
    ],
)
def test_which_profile_plays_which_stream(viewer, stream, plays):
    assert profiles.plays(viewer, stream) is plays


def test_a_profile_has_a_name():
    assert [profiles.name(one) for one in ("42c01f", "640028", "f4001f", "")] == [
        "Baseline",
        "High",
        "f4001f",
        "H.264",
    ]
