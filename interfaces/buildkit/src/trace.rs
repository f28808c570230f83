//! The steps of a build as BuildKit tells them: vertexes with a digest, their logs and transfers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use builds::StepEvent;
use oci::digest::Digest;

use crate::board::Board;

/// Tells of one build.
#[derive(Debug)]
pub(crate) struct Trace {
    board: Arc<Board>,
    /// Makes the digests of one build differ from those of others.
    build: String,
    running: BTreeMap<usize, Vertex>,
    transfers: BTreeMap<(usize, String), Timestamp>,
}

/// Something the daemon does around the steps: `[internal] load build context`, `exporting to image`.
#[derive(Debug)]
pub(crate) struct Task {
    board: Arc<Board>,
    vertex: Vertex,
}

fn now() -> Timestamp {
    let now = jiff::Timestamp::now();
    Timestamp {
        seconds: now.as_second(),
        nanos: now.subsec_nanosecond(),
    }
}

fn told(vertex: &Vertex) -> StatusResponse {
    StatusResponse {
        vertexes: vec![vertex.clone()],
        ..StatusResponse::default()
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Trace {
    pub(crate) fn new(board: Arc<Board>, build: &str) -> Self {
        Self {
            board,
            build: build.to_owned(),
            running: BTreeMap::new(),
            transfers: BTreeMap::new(),
        }
    }

    fn vertex(&self, what: &str, name: &str) -> Vertex {
        Vertex {
            digest: Digest::sha256(format!("{}\0{what}", self.build)).to_string(),
            name: name.to_owned(),
            started: Some(now()),
            ..Vertex::default()
        }
    }

    /// Begins something that is no step.
    pub(crate) async fn task(&self, name: &str) -> Task {
        let vertex = self.vertex(name, name);
        self.board.put(told(&vertex)).await;
        Task {
            board: Arc::clone(&self.board),
            vertex,
        }
    }

    /// Tells what happened to a step.
    pub(crate) async fn step(&mut self, event: StepEvent) {
        match event {
            StepEvent::Started { step, name } => {
                let vertex = self.vertex(&step.to_string(), &name);
                self.board.put(told(&vertex)).await;
                self.running.insert(step, vertex);
            }
            StepEvent::Cached { step } => {
                if let Some(vertex) = self.running.get_mut(&step) {
                    vertex.cached = true;
                    self.board.put(told(vertex)).await;
                }
            }
            StepEvent::Output { step, is_error, text } => self.log(step, is_error, text).await,
            StepEvent::Transfer {
                step,
                name,
                current,
                total,
            } => self.transfer(step, name, current, total).await,
            StepEvent::Ended { step, error } => {
                self.transfers.retain(|(of, _), _| *of != step);
                if let Some(mut vertex) = self.running.remove(&step) {
                    vertex.completed = Some(now());
                    vertex.error = error;
                    self.board.put(told(&vertex)).await;
                }
            }
            StepEvent::Warning { text } => {
                let warning = VertexWarning {
                    vertex: self.vertex("warnings", "").digest,
                    level: 1,
                    short: text.into_bytes(),
                    ..VertexWarning::default()
                };
                let message = StatusResponse {
                    warnings: vec![warning],
                    ..StatusResponse::default()
                };
                self.board.put(message).await;
            }
        }
    }

    async fn log(&self, step: usize, is_error: bool, text: String) {
        let Some(vertex) = self.running.get(&step) else {
            return;
        };
        let log = VertexLog {
            vertex: vertex.digest.clone(),
            timestamp: Some(now()),
            stream: if is_error { 2 } else { 1 },
            msg: text.into_bytes(),
        };
        let message = StatusResponse {
            logs: vec![log],
            ..StatusResponse::default()
        };
        self.board.put(message).await;
    }

    async fn transfer(&mut self, step: usize, name: String, current: u64, total: u64) {
        let Some(vertex) = self.running.get(&step) else {
            return;
        };
        let started = *self.transfers.entry((step, name.clone())).or_insert_with(now);
        let status = VertexStatus {
            id: name.clone(),
            vertex: vertex.digest.clone(),
            name,
            current: number(current),
            total: number(total),
            timestamp: Some(now()),
            started: Some(started),
            completed: (current == total).then(now),
        };
        let message = StatusResponse {
            statuses: vec![status],
            ..StatusResponse::default()
        };
        self.board.put(message).await;
    }
}

impl Task {
    /// A part of it is done, with the bytes that went over if there were any.
    pub(crate) async fn done_with(&self, what: &str, bytes: u64) {
        let status = VertexStatus {
            id: what.to_owned(),
            vertex: self.vertex.digest.clone(),
            name: what.to_owned(),
            current: number(bytes),
            timestamp: Some(now()),
            started: self.vertex.started,
            completed: Some(now()),
            ..VertexStatus::default()
        };
        let message = StatusResponse {
            statuses: vec![status],
            ..StatusResponse::default()
        };
        self.board.put(message).await;
    }

    /// It is over, well or not.
    pub(crate) async fn end<T, E: std::fmt::Display>(mut self, outcome: &Result<T, E>) {
        self.vertex.completed = Some(now());
        if let Err(error) = outcome {
            self.vertex.error = error.to_string();
        }
        self.board.put(told(&self.vertex)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_is_told_with_one_digest_from_its_start_to_its_end() {
        let board = Arc::new(Board::default());
        let mut trace = Trace::new(Arc::clone(&board), "b");
        let name = "[1/2] RUN x".to_owned();
        trace.step(StepEvent::Started { step: 4, name }).await;
        let text = "out".to_owned();
        let output = StepEvent::Output {
            step: 4,
            is_error: true,
            text,
        };
        trace.step(output).await;
        let error = "broke".to_owned();
        trace.step(StepEvent::Ended { step: 4, error }).await;
        board.close();
        let mut reader = board.read();
        let mut told = Vec::new();
        while let Some(message) = reader.next().await {
            told.push(message);
        }
        let digest = &told[0].vertexes[0].digest;
        assert!(digest.parse::<Digest>().is_ok());
        assert_eq!((&told[1].logs[0].vertex, told[1].logs[0].stream), (digest, 2));
        let end = &told[2].vertexes[0];
        assert_eq!((&end.digest, end.error.as_str()), (digest, "broke"));
        assert!(end.started.is_some() && end.completed.is_some());
    }
}
