//! Events as Python objects: (peer id, kind, arguments).

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::engine::Handle;
use crate::engine::event::{Answer, Event};
use crate::engine::log::Record;
use crate::face::Channel;
use crate::peer::PeerShared;
use crate::peer::stats::{Report, Value};

// The kinds of events; plait.rtc has the same numbers.
const REPLY: u8 = 0;
const STATE: u8 = 1;
const CANDIDATE: u8 = 2;
const MEDIA: u8 = 3;
const CHANNEL_OPEN: u8 = 4;
const CHANNEL_DATA: u8 = 5;
const CHANNEL_LOW: u8 = 6;
const CHANNEL_CLOSED: u8 = 7;
const FRAME: u8 = 8;
const KEYFRAME_REQUEST: u8 = 9;
const SERVER_FAILED: u8 = 10;
const ADDRESSES_CHANGED: u8 = 11;
const BANDWIDTH: u8 = 12;
const LAST_STATS: u8 = 13;
// Not a peer's but a forwarder's.
const FORWARD: u8 = 100;
// Nobody's: for loggers, under number 0.
const RECORD: u8 = 0;
const DROPPED: u8 = 1;

/// Makes the tuple for one event.
pub fn letter<'py>(
    py: Python<'py>,
    handle: &Arc<Handle>,
    peer: &Arc<PeerShared>,
    event: Event,
) -> PyResult<Bound<'py, PyTuple>> {
    let (kind, arguments) = match event {
        // The most frequent first.
        Event::ChannelData { key, binary, data } => {
            let size = data.len();
            let data = if binary {
                PyBytes::new(py, &data).into_any()
            } else {
                PyString::new(py, &String::from_utf8_lossy(&data)).into_any()
            };
            (CHANNEL_DATA, (key, data, size).into_pyobject(py)?)
        }
        Event::Frame(frame) => {
            peer.frames_waiting.fetch_sub(frame.data.len(), SeqCst);
            let data = PyBytes::new(py, &frame.data);
            let arguments = (frame.mid, data, frame.timestamp, frame.keyframe, frame.codec, frame.contiguous);
            (FRAME, arguments.into_pyobject(py)?)
        }
        Event::ChannelLow { key } => (CHANNEL_LOW, (key,).into_pyobject(py)?),
        Event::ChannelClosed { key } => (CHANNEL_CLOSED, (key,).into_pyobject(py)?),
        Event::KeyframeRequest { mid } => (KEYFRAME_REQUEST, (mid,).into_pyobject(py)?),
        Event::Bandwidth { estimate } => (BANDWIDTH, (estimate,).into_pyobject(py)?),
        Event::AddressesChanged => (ADDRESSES_CHANGED, PyTuple::empty(py)),
        Event::State { state, reason } => (STATE, (state, reason).into_pyobject(py)?),
        Event::LastStats(report) => (LAST_STATS, (stats(py, report)?,).into_pyobject(py)?),
        Event::Candidate(line) => (CANDIDATE, (line,).into_pyobject(py)?),
        Event::ServerFailed { url, server, code, text } => {
            let arguments = (url, server.ip().to_string(), server.port(), code, text);
            (SERVER_FAILED, arguments.into_pyobject(py)?)
        }
        Event::Forward(news) => (FORWARD, (news.what, news.peer, news.mid, news.reason).into_pyobject(py)?),
        Event::Media(media) => {
            let codecs = PyTuple::new(py, media.codecs)?;
            let (mid, kind, direction) = (media.mid, media.kind, media.direction);
            (MEDIA, (mid, kind, direction, codecs, media.remote, media.stopped).into_pyobject(py)?)
        }
        Event::ChannelOpen(open) => {
            let gauge = open.gauge;
            let key = gauge.key;
            let channel = Channel { gauge, shared: Arc::clone(peer), handle: Arc::clone(handle) };
            let reliability = (open.ordered, open.max_retransmits, open.max_packet_life_time);
            let arguments = (
                key,
                Bound::new(py, channel)?,
                open.label,
                open.protocol,
                open.stream,
                reliability,
                open.remote,
            );
            (CHANNEL_OPEN, arguments.into_pyobject(py)?)
        }
        Event::Reply { request, result } => {
            let (answer, error) = match result {
                Ok(answer) => (self::answer(py, answer)?, None),
                Err(error) => (py.None().into_bound(py), Some(error)),
            };
            (REPLY, (request, answer, error).into_pyobject(py)?)
        }
    };
    (peer.id, kind, arguments).into_pyobject(py)
}

/// A record for a logger: (level, target, peer id, message).
pub fn record(py: Python<'_>, record: Record) -> PyResult<Bound<'_, PyTuple>> {
    (0, RECORD, (record.level, record.target, record.peer, record.message)).into_pyobject(py)
}

/// So many records were dropped.
pub fn dropped(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyTuple>> {
    (0, DROPPED, (count,)).into_pyobject(py)
}

fn answer(py: Python<'_>, answer: Answer) -> PyResult<Bound<'_, PyAny>> {
    match answer {
        Answer::Description { sdp, mids } => Ok((sdp, mids).into_pyobject(py)?.into_any()),
        Answer::Stats(report) => Ok(stats(py, report)?.into_any()),
        Answer::Done => Ok(py.None().into_bound(py)),
    }
}

fn stats(py: Python<'_>, report: Report) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for object in report.objects {
        let members = PyDict::new(py);
        for (name, value) in object.members {
            match value {
                Value::Text(value) => members.set_item(name, value)?,
                Value::Count(value) => members.set_item(name, value)?,
                Value::Number(value) => members.set_item(name, value)?,
                Value::Flag(value) => members.set_item(name, value)?,
            }
        }
        all.set_item(object.id, members)?;
    }
    Ok(all)
}
