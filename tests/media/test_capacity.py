"""What a path carries, by reports of links that are computed here, and which pictures then go out."""

import pytest

from plait.media import Capacity, Report, annexb, judge
from plait.media.encoder import VideoEncoder
from plait.media.thinning import Thinning
from plait.rtc import EncodedFrame

FULL = 1_000_000

FINE = (0.0, 0.02)
MOMENT = [FINE, (0.5, 0.02), FINE]
QUEUE = [FINE, (0.0, 0.2), (0.0, 0.5), (0.0, 0.8), (0.0, 1.1)]


@pytest.mark.parametrize(
    ("reports", "carries", "why"),
    [
        ([FINE] * 9, None, ""),
        ([(0.15, 0.02)] * 9, None, ""),  # repaired
        ([FINE, (0.25, 0.02)], None, ""),  # once
        ([FINE, (0.25, 0.02), (0.25, 0.02)], 0.75 * FULL, "25% of the packets are lost"),
        ([FINE, (0.6, 0.02)], 0.4 * FULL, "60% of the packets are lost"),
        (QUEUE, 0.8 * FULL, "packets are 1.1 s late"),
        ([FINE, (0.0, 1.0), (0.0, 0.9), (0.0, 0.6), (0.0, 0.5)], None, ""),  # a queue that drains
        ([(0.0, 0.6)] * 9, None, ""),  # far away
        ([FINE, (0.99, 0.02)], 50_000, "99% of the packets are lost"),
        ([*MOMENT, *[FINE] * 3], 0.5 * FULL, "50% of the packets are lost"),
        ([*MOMENT, *[FINE] * 5], None, ""),
    ],
)
def test_what_reports_of_loss_and_round_trip_mean(reports, carries, why):
    known = Capacity()
    for at, (loss, round_trip) in enumerate(reports):
        known = judge(known, Report(at, FULL, loss, round_trip), FULL)
    assert (known.bits, known.why) == (carries and pytest.approx(carries), why)


def link(known, carries, queue, seconds, start=0):
    """Send what is known to fit over a link of so many bits a second with a queue of so many bits."""
    waiting, sent = 0.0, []
    for at in range(start, start + seconds):
        sent.append(min(FULL, known.bits or FULL))
        held = waiting + sent[-1]
        waiting = min(max(0.0, held - carries), queue)
        loss = max(0.0, held - waiting - carries) / sent[-1]
        known = judge(known, Report(at, sent[-1], loss, 0.02 + waiting / carries), FULL)
    return known, sent


@pytest.mark.parametrize("queue", [0, 60_000, 5_000_000])
def test_a_policer_and_a_long_queue_are_both_found(queue):
    _, sent = link(Capacity(), 300_000, queue, 60)
    assert min(sent[:8]) <= 700_000
    assert 100_000 < sum(sent[20:]) / 40 < 400_000


def test_it_comes_back_when_the_path_does():
    known, _ = link(Capacity(), 300_000, 60_000, 10)
    assert known.bits is not None
    known, sent = link(known, 5_000_000, 60_000, 60, start=10)
    assert (known.bits, sent[-1]) == (None, FULL)


def test_tries_that_fail_come_less_often():
    _, sent = link(Capacity(), 300_000, 0, 300)
    over = [bits > 375_000 for bits in sent]
    assert sum(over[200:]) < sum(over[:100])


START = b"\x00\x00\x00\x01"
KEY, REFERENCE, DISPOSABLE = 0x65, 0x41, 0x01


def picture(number, kind, size):
    data = START + bytes([kind]) + bytes([0x88]) * (size - 5)
    return EncodedFrame(data, number * 9_000, kind == KEY, "H264")


def groups(count, pattern):
    """Ten pictures a second; a group is a second, with a keyframe of 5,000 bytes and nine of 1,000."""
    kinds = [KEY if at == 0 else pattern[at % len(pattern)] for at in range(10)]
    return [picture(at, kinds[at % 10], 5_000 if at % 10 == 0 else 1_000) for at in range(count * 10)]


def shown(thinning, frames):
    return [frame for frame in frames if thinning.passes(frame)]


def test_nothing_is_left_out_while_all_of_it_fits():
    thinning, frames = Thinning(), groups(5, [REFERENCE])
    assert shown(thinning, frames) == frames
    thinning.bits = 200_000
    assert shown(thinning, groups(20, [REFERENCE])[100:])[-50:] == groups(20, [REFERENCE])[-50:]
    assert thinning.left_out <= 9, "no more than the group in which the bound came"


def test_what_goes_out_fits_and_can_be_decoded():
    thinning, frames = Thinning(), groups(40, [REFERENCE])
    thinning.bits = 64_000
    passed = shown(thinning, frames)
    assert sum(len(frame.data) for frame in passed[5:]) * 8 / 40 < 1.1 * 64_000
    numbers = [frame.timestamp // 9_000 for frame in passed]
    assert all(number % 10 == 0 or number - 1 in numbers for number in numbers), "no picture without the last"
    assert len(passed) + thinning.left_out == len(frames)


def test_pictures_that_no_other_needs_go_first():
    thinning, frames = Thinning(), groups(40, [REFERENCE, DISPOSABLE])
    thinning.bits = 88_000
    passed = shown(thinning, frames)[50:]
    kinds = [frame.data[4] for frame in passed]
    assert kinds.count(DISPOSABLE) < kinds.count(REFERENCE)
    assert kinds.count(REFERENCE) >= 0.9 * 4 * len([kind for kind in kinds if kind == KEY])


def test_keyframes_that_do_not_fit_are_left_out_too():
    thinning = Thinning()
    thinning.bits = 10_000
    passed = shown(thinning, groups(40, [REFERENCE]))
    assert all(frame.keyframe for frame in passed)
    assert 8 <= len(passed) <= 12


def test_all_of_it_comes_back_with_a_keyframe():
    thinning, frames = Thinning(), groups(10, [REFERENCE])
    thinning.bits = 10_000
    shown(thinning, frames[:35])
    thinning.bits = None
    assert shown(thinning, frames[35:]) == frames[40:]


def test_a_picture_says_whether_others_need_it():
    aud = START + b"\x09\xf0"
    assert annexb.disposable(aud + picture(1, DISPOSABLE, 50).data)
    assert not annexb.disposable(aud + picture(1, REFERENCE, 50).data)
    assert not annexb.disposable(START + b"\x06\x05\x01\x80")


def test_an_encoder_of_ours_follows_its_limit(noise):
    encoder = VideoEncoder(320, 240, 25)
    sizes, keys = [], []
    for number, frame in enumerate(noise(150)):
        if number == 50:
            encoder.limit = 60_000
        if number == 125:
            encoder.limit = None
        done = encoder.encode(frame, number * 3_600)
        sizes.append(sum(len(data) for data, _ in done))
        keys.append(any(key for _, key in done))
    rates = [8 * sum(sizes[at : at + 25]) for at in range(0, 150, 25)]
    assert rates[1] > 150_000
    assert rates[3] < 0.6 * rates[1], rates
    assert rates[5] > 1.5 * rates[4], rates
    assert keys[50], "the next picture stands by itself"
