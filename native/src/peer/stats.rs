//! Statistics under their W3C names (https://www.w3.org/TR/webrtc-stats/).

use std::time::{SystemTime, UNIX_EPOCH};

/// A value of one statistic.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Count(u64),
    Number(f64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Count(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Flag(value)
    }
}

/// One object of a report: a dictionary of `id`, `type`, `timestamp` and its members.
pub struct Object {
    pub id: String,
    pub members: Vec<(&'static str, Value)>,
}

/// A statistics report: its objects, all taken at one moment.
#[derive(Default)]
pub struct Report {
    pub objects: Vec<Object>,
    timestamp: f64,
}

impl Report {
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { objects: Vec::new(), timestamp: since.as_secs_f64() * 1000.0 }
    }

    /// Adds an object. `timestamp` is milliseconds since the epoch, as W3C has it.
    pub fn add(&mut self, id: impl Into<String>, kind: &'static str) -> &mut Object {
        let id = id.into();
        let members = vec![
            ("id", Value::Text(id.clone())),
            ("type", Value::from(kind)),
            ("timestamp", Value::Number(self.timestamp)),
        ];
        self.objects.push(Object { id, members });
        let last = self.objects.len() - 1;
        &mut self.objects[last]
    }
}

impl Object {
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.members.push((name, value.into()));
        self
    }

    /// Sets the member if there is a value for it.
    pub fn set_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.members.push((name, value.into()));
        }
        self
    }
}
