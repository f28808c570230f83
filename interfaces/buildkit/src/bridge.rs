//! The service `LLBBridge`, as far as buildx needs it: it is a frontend of its own that asks for one build and returns its
//! result.
//!
//! `Control.Solve` without a frontend waits here until the client has said `Return`; the calls name the build in their
//! metadata. A result is an image under a number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    PongResponse, Ref, Result as Outcome, ReturnRequest, ReturnResponse, SolveRequest, SolveResponse,
    WarnRequest, WarnResponse, result,
};
use builds::{Finished, StepEvent};
use tokio::sync::{mpsc, oneshot};

use crate::control;
use crate::grpc::{self, Code, Method, Reply, Status};
use crate::job::Job;
use crate::service::BuildKit;
use crate::session::Session;
use crate::trace::Trace;

/// Results that one build may hold at the same time.
const MOST: usize = 64;
/// The metadata that names a build.
const BUILD: &str = "buildkit-controlapi-buildid";
/// What clients may count on (BuildKit's `gateway/pb/caps.go`).
const ABILITIES: [&str; 5] = [
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "gateway.warnings",
];

type Answer = Result<Option<Arc<Finished>>, Status>;

/// What a client asks of its build.
enum Ask {
    Solve(Box<Job>, oneshot::Sender<Answer>),
    Warn(String),
    Return(Answer),
}

/// The builds whose clients are frontends of their own.
#[derive(Debug, Default)]
pub(crate) struct Forwards(Mutex<HashMap<String, Arc<Forward>>>);

#[derive(Debug)]
struct Forward {
    asks: mpsc::Sender<Ask>,
    session: Option<Arc<Session>>,
    results: Mutex<HashMap<String, Option<Arc<Finished>>>>,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Solve(..) => "Solve",
            Self::Warn(_) => "Warn",
            Self::Return(_) => "Return",
        })
    }
}

impl Forwards {
    /// Does what the client asks for until it returns a result.
    ///
    /// # Errors
    /// What the client returned instead of a result.
    pub(crate) async fn run(
        &self,
        kit: &Arc<BuildKit>,
        id: &str,
        session: Option<Arc<Session>>,
        trace: &mut Trace,
    ) -> Answer {
        let (asks, mut asked) = mpsc::channel(1);
        let forward = Arc::new(Forward {
            asks,
            session,
            results: Mutex::default(),
        });
        self.lock().insert(id.to_owned(), forward);
        kit.forward_opened.notify_waiters();
        let _closing = Closing { forwards: self, id };
        loop {
            // This build's own sender lives until the end of this function: there is always a next one.
            match asked.recv().await {
                None => return Err(Status::new(Code::Cancelled, "the build was given up")),
                Some(Ask::Return(answer)) => return answer,
                Some(Ask::Warn(text)) => trace.step(StepEvent::Warning { text }).await,
                Some(Ask::Solve(job, mut answer)) => {
                    let solved = tokio::select! {
                        solved = kit.workshop.run(*job, trace) => solved.map(|finished| finished.map(Arc::new)),
                        () = answer.closed() => continue,
                    };
                    // Who asked may be gone meanwhile, and misses nothing.
                    let _ = answer.send(solved);
                }
            }
        }
    }

    fn get(&self, id: &str) -> Option<Arc<Forward>> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Forward>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closing<'a> {
    forwards: &'a Forwards,
    id: &'a str,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.forwards.lock().remove(self.id);
    }
}

/// Answers one call.
pub(crate) async fn answer(kit: Arc<BuildKit>, name: &str, mut method: Method) -> Result<Reply, Status> {
    if name == "Ping" {
        return Ok(grpc::unary(&pong()));
    }
    let id = method.metadata.get(BUILD).and_then(|value| value.to_str().ok());
    let id = id.ok_or_else(|| {
        Status::new(
            Code::InvalidArgument,
            format!("{name} needs the metadata {BUILD}"),
        )
    })?;
    let forward = kit.forward(id).await?;
    match name {
        "Solve" => {
            let request: SolveRequest = method.message().await?;
            Ok(grpc::unary(&forward.solve(request).await?))
        }
        "Return" => {
            let request: ReturnRequest = method.message().await?;
            let answer = forward.returned(request);
            forward.ask(Ask::Return(answer)).await?;
            Ok(grpc::unary(&ReturnResponse {}))
        }
        "Warn" => {
            let request: WarnRequest = method.message().await?;
            let text = String::from_utf8_lossy(&request.short).into_owned();
            forward.ask(Ask::Warn(text)).await?;
            Ok(grpc::unary(&WarnResponse {}))
        }
        other => {
            let text = format!("LLBBridge.{other} is not available in this version of dhow");
            Err(Status::new(Code::Unimplemented, text))
        }
    }
}

fn pong() -> PongResponse {
    let able = |id: &&str| ApiCap {
        id: (*id).to_owned(),
        enabled: true,
        ..ApiCap::default()
    };
    PongResponse {
        frontend_api_caps: ABILITIES.iter().map(able).collect(),
        llb_caps: Vec::new(),
        workers: vec![control::worker()],
    }
}

impl Forward {
    async fn ask(&self, ask: Ask) -> Result<(), Status> {
        let over = |_| Status::new(Code::Cancelled, "the build is over");
        self.asks.send(ask).await.map_err(over)
    }

    async fn solve(&self, request: SolveRequest) -> Result<SolveResponse, Status> {
        let is_raw = request
            .definition
            .as_ref()
            .is_some_and(|definition| !definition.def.is_empty());
        if is_raw || !request.frontend_inputs.is_empty() {
            return Err(control::raw());
        }
        let imports = request.cache_imports.into_iter();
        let imports = imports.map(|entry| (entry.r#type, entry.attrs)).collect();
        let job = control::job(
            &request.frontend,
            &request.frontend_opt,
            imports,
            self.session.clone(),
        )?;
        let (sender, answer) = oneshot::channel();
        self.ask(Ask::Solve(Box::new(job), sender)).await?;
        let over = |_| Status::new(Code::Cancelled, "the build is over");
        let finished = answer.await.map_err(over)??;
        let id = format!("{:032x}", rand::random::<u128>());
        let mut results = self.lock();
        if results.len() >= MOST {
            return Err(Status::new(Code::ResourceExhausted, "too many results"));
        }
        results.insert(id.clone(), finished);
        if !request.allow_result_return {
            return Ok(SolveResponse {
                r#ref: id,
                result: None,
            });
        }
        let result = match request.allow_result_array_ref {
            true => result::Result::Ref(Ref { id, def: None }),
            false => result::Result::RefDeprecated(id),
        };
        let outcome = Outcome {
            result: Some(result),
            ..Outcome::default()
        };
        Ok(SolveResponse {
            r#ref: String::new(),
            result: Some(outcome),
        })
    }

    /// What the client wants the build to end with.
    fn returned(&self, request: ReturnRequest) -> Answer {
        if let Some(error) = request.error {
            return Err(Status::new(Code::Unknown, error.message));
        }
        let unknown = || {
            Status::new(
                Code::InvalidArgument,
                "the result that is returned is not one of this build",
            )
        };
        let id = match request.result.and_then(|outcome| outcome.result) {
            Some(result::Result::Ref(of)) => of.id,
            Some(result::Result::RefDeprecated(id)) => id,
            Some(_) => {
                let text = "a result for several platforms is not available in this version of dhow";
                return Err(Status::new(Code::Unimplemented, text));
            }
            None => return Err(unknown()),
        };
        self.lock().remove(&id).ok_or_else(unknown)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Arc<Finished>>>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BuildKit {
    /// The build with this id whose client is its own frontend, as soon as it is there.
    async fn forward(&self, id: &str) -> Result<Arc<Forward>, Status> {
        let waiting = async {
            loop {
                let opened = self.forward_opened.notified();
                tokio::pin!(opened);
                opened.as_mut().enable();
                if let Some(forward) = self.forwards.get(id) {
                    return forward;
                }
                opened.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no such job {id}"));
        tokio::time::timeout(crate::service::PATIENCE, waiting)
            .await
            .map_err(missing)
    }
}
