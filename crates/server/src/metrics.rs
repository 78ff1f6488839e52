//! Counters in the text format of Prometheus. No name of a repository or account is in them.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What one server has done since it started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Requests by resource, method and status.
    requests: RwLock<BTreeMap<(&'static str, &'static str, u16), AtomicU64>>,
    busy_microseconds: AtomicU64,
    sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    /// Uploads that are being received.
    pub(crate) uploads: AtomicU64,
    pub(crate) collections: AtomicU64,
    pub(crate) collected_blobs: AtomicU64,
    pub(crate) collected_bytes: AtomicU64,
}

impl Metrics {
    pub(crate) fn answered(
        &self,
        resource: &'static str,
        method: &'static str,
        status: u16,
        sent_bytes: u64,
        took: Duration,
    ) {
        let what = (resource, method, status);
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = requests.get(&what) {
            count.fetch_add(1, Relaxed);
        } else {
            drop(requests);
            let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
            *requests.entry(what).or_default().get_mut() += 1;
        }
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.busy_microseconds.fetch_add(microseconds, Relaxed);
        self.sent_bytes.fetch_add(sent_bytes, Relaxed);
    }

    /// The text; `free_bytes` is what the disk has left.
    pub(crate) fn text(&self, free_bytes: Option<u64>) -> String {
        let mut text = String::new();
        head(
            &mut text,
            "requests_total",
            "counter",
            "Requests that were answered",
        );
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        for ((resource, method, status), count) in &*requests {
            let _ = writeln!(
                text,
                "modelkeep_requests_total{{resource=\"{resource}\",method=\"{method}\",status=\"{status}\"}} {}",
                count.load(Relaxed)
            );
        }
        drop(requests);
        let seconds = Duration::from_micros(self.busy_microseconds.load(Relaxed)).as_secs_f64();
        head(
            &mut text,
            "request_seconds_total",
            "counter",
            "Time from a request's head to its answer's end",
        );
        let _ = writeln!(text, "modelkeep_request_seconds_total {seconds}");
        for (name, kind, help, value) in [
            (
                "sent_bytes_total",
                "counter",
                "Bytes of answers' bodies",
                &self.sent_bytes,
            ),
            (
                "received_bytes_total",
                "counter",
                "Bytes of blobs and manifests that came",
                &self.received_bytes,
            ),
            (
                "connections",
                "gauge",
                "Connections that are open",
                &self.connections,
            ),
            (
                "connections_refused_total",
                "counter",
                "Connections that were turned away because all were in use",
                &self.connections_refused,
            ),
            (
                "uploads",
                "gauge",
                "Uploads that are being received",
                &self.uploads,
            ),
            (
                "collections_total",
                "counter",
                "Collections of what nothing needs",
                &self.collections,
            ),
            (
                "collected_blobs_total",
                "counter",
                "Blobs that were collected",
                &self.collected_blobs,
            ),
            (
                "collected_bytes_total",
                "counter",
                "Bytes that collections freed",
                &self.collected_bytes,
            ),
        ] {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "modelkeep_{name} {}", value.load(Relaxed));
        }
        if let Some(free) = free_bytes {
            head(
                &mut text,
                "disk_free_bytes",
                "gauge",
                "Bytes that the disk of the store has left",
            );
            let _ = writeln!(text, "modelkeep_disk_free_bytes {free}");
        }
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP modelkeep_{name} {help}.\n# TYPE modelkeep_{name} {kind}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_resource_method_and_status() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            metrics.answered("blob", "GET", 200, 10, Duration::from_millis(5));
        }
        let text = metrics.text(Some(7));
        assert!(
            text.contains("modelkeep_requests_total{resource=\"blob\",method=\"GET\",status=\"200\"} 2\n")
        );
        assert!(text.contains("modelkeep_sent_bytes_total 20\n"));
        assert!(text.contains("modelkeep_request_seconds_total 0.01\n"));
        assert!(text.contains("modelkeep_disk_free_bytes 7\n"));
        for line in text.lines() {
            assert!(line.starts_with("# ") || line.starts_with("modelkeep_"), "{line}");
        }
    }
}
