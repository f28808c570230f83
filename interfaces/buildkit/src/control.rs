//! The service `moby.buildkit.v1.Control`, by which buildx asks for builds.

use std::collections::HashMap;
use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::v1::types::{BuildkitVersion, WorkerRecord};
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BytesMessage, InfoResponse, ListWorkersResponse, SolveRequest, SolveResponse,
    StatusRequest, StatusResponse, UpdateBuildHistoryRequest,
};
use bollard_buildkit_proto::pb;
use builds::Finished;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::attributes::{Attributes, import};
use crate::bridge;
use crate::disk;
use crate::export::Exporter;
use crate::grpc::{self, Code, Method, Reply, Status};
use crate::job::Job;
use crate::service::BuildKit;
use crate::session::Introduction;
use crate::trace::Trace;

const CONTROL: &str = "/moby.buildkit.v1.Control/";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Messages that may wait for a client.
const WAITING: usize = 16;
/// Bytes of a session inside of a call that may wait.
const PIPE: usize = 64 << 10;

/// The version of BuildKit whose protocol this is.
pub(crate) const VERSION: &str = "v0.22.0";

/// Answers the calls of one connection.
pub(crate) async fn serve<T>(kit: Arc<BuildKit>, connection: T)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    grpc::serve(connection, move |method| {
        let kit = Arc::clone(&kit);
        async move { answer(kit, method).await }
    })
    .await;
}

async fn answer(kit: Arc<BuildKit>, mut method: Method) -> Result<Reply, Status> {
    if let Some(name) = method.path.strip_prefix(BRIDGE) {
        let name = name.to_owned();
        return bridge::answer(kit, &name, method).await;
    }
    match method.path.strip_prefix(CONTROL).unwrap_or_default() {
        "Info" => Ok(grpc::unary(&InfoResponse {
            buildkit_version: Some(version()),
        })),
        "ListWorkers" => Ok(grpc::unary(&ListWorkersResponse {
            record: vec![worker()],
        })),
        "Solve" => {
            let request = method.message().await?;
            Ok(grpc::unary(&solve(&kit, request).await?))
        }
        "Status" => {
            let request: StatusRequest = method.message().await?;
            status(&kit, &request.r#ref).await
        }
        "Session" => session(kit, method).await,
        "DiskUsage" => {
            let request = method.message().await?;
            Ok(grpc::unary(&disk::usage(&kit, request).await?))
        }
        "Prune" => {
            let request = method.message().await?;
            disk::prune(&kit, request).await
        }
        // No history is kept: there is nothing to tell, and nothing to change.
        "ListenBuildHistory" => Ok(grpc::stream::<BuildHistoryEvent>(mpsc::channel(1).1)),
        "UpdateBuildHistory" => {
            let request: UpdateBuildHistoryRequest = method.message().await?;
            let text = format!(
                "no record of build {}: dhow keeps no history of builds",
                request.r#ref
            );
            Err(Status::new(Code::NotFound, text))
        }
        // `SERVING` of `HealthCheckResponse`, in its one field.
        _ if method.path == HEALTH => Ok(grpc::unary(
            &bollard_buildkit_proto::health::HealthCheckResponse { status: 1 },
        )),
        _ => {
            let text = format!("unknown method {}", method.path);
            Err(Status::new(Code::Unimplemented, text))
        }
    }
}

fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "dhow".to_owned(),
        version: VERSION.to_owned(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The one worker: this daemon.
pub(crate) fn worker() -> WorkerRecord {
    let host = oci::platform::Platform::host();
    WorkerRecord {
        id: "dhow".to_owned(),
        labels: HashMap::from([(
            "org.mobyproject.buildkit.worker.executor".to_owned(),
            "dhow".to_owned(),
        )]),
        platforms: vec![pb::Platform {
            architecture: host.architecture.clone(),
            os: host.os.clone(),
            variant: host.variant.clone().unwrap_or_default(),
            ..pb::Platform::default()
        }],
        buildkit_version: Some(version()),
        ..WorkerRecord::default()
    }
}

async fn solve(kit: &Arc<BuildKit>, request: SolveRequest) -> Result<SolveResponse, Status> {
    let board = kit.open_board(&request.r#ref)?;
    let mut trace = Trace::new(Arc::clone(&board.board), &request.r#ref);
    let mut outputs: Vec<_> = request
        .exporters
        .iter()
        .map(|exporter| {
            (
                exporter.r#type.clone(),
                exporter.attrs.clone().into_iter().collect(),
            )
        })
        .collect();
    if outputs.is_empty() && !request.exporter_deprecated.is_empty() {
        let attributes = request.exporter_attrs_deprecated.clone().into_iter().collect();
        outputs.push((request.exporter_deprecated.clone(), attributes));
    }
    let exporters = Exporter::read(&outputs)?;
    if let Some(entitlement) = request.entitlements.first() {
        let text = format!("the entitlement {entitlement} is not available in this version of dhow");
        return Err(Status::new(Code::Unimplemented, text));
    }
    let session = match request.session.as_str() {
        "" => None,
        id => Some(kit.sessions.get(id).await?),
    };
    let is_raw = request
        .definition
        .as_ref()
        .is_some_and(|definition| !definition.def.is_empty());
    let finished: Option<Arc<Finished>> = match request.frontend.as_str() {
        "" if is_raw => return Err(raw()),
        // The client is its own frontend, and asks for builds through the bridge.
        "" => {
            let forwarded = kit.forwards.run(kit, &request.r#ref, session.clone(), &mut trace);
            match &session {
                Some(session) => session.unless_gone(forwarded).await?,
                None => forwarded.await?,
            }
        }
        frontend => {
            if !request.frontend_inputs.is_empty() {
                return Err(raw());
            }
            let imports = request.cache.iter().flat_map(|cache| &cache.imports);
            let imports = imports
                .map(|entry| (entry.r#type.clone(), entry.attrs.clone()))
                .collect();
            check_cache(&request)?;
            let job = job(frontend, &request.frontend_attrs, imports, session.clone())?;
            kit.workshop.run(job, &mut trace).await?.map(Arc::new)
        }
    };
    let mut response = SolveResponse::default();
    if let Some(finished) = finished {
        let exported = kit.export(&exporters, &finished.image, session.as_deref(), &trace);
        response.exporter_response = exported.await?;
    }
    Ok(response)
}

pub(crate) fn raw() -> Status {
    let text = "a definition in LLB is not available in this version of dhow: only Dockerfiles are built (frontend dockerfile.v0)";
    Status::new(Code::Unimplemented, text)
}

fn check_cache(request: &SolveRequest) -> Result<(), Status> {
    let exports = request.cache.iter().flat_map(|cache| &cache.exports);
    for export in exports {
        // The history of every image of ours is a cache already.
        if export.r#type != "inline" {
            let text = format!(
                "a cache export of type {} is not available in this version of dhow",
                export.r#type
            );
            return Err(Status::new(Code::Unimplemented, text));
        }
    }
    Ok(())
}

/// A build by attributes.
pub(crate) fn job(
    frontend: &str,
    attributes: &HashMap<String, String>,
    imports: Vec<(String, HashMap<String, String>)>,
    session: Option<Arc<crate::session::Session>>,
) -> Result<Job, Status> {
    let (mut request, files, locals) = Attributes::read(frontend, attributes)?.files();
    for (kind, attributes) in imports {
        import(&mut request, &kind, &attributes)?;
    }
    Ok(Job {
        request,
        session,
        files,
        locals,
    })
}

async fn status(kit: &BuildKit, id: &str) -> Result<Reply, Status> {
    let mut reader = kit.board(id).await?.read();
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            let message = tokio::select! {
                message = reader.next() => message,
                () = sender.closed() => return,
            };
            let Some(message) = message else { return };
            if sender.send(Ok(StatusResponse::clone(&message))).await.is_err() {
                return;
            }
        }
    });
    Ok(grpc::stream(receiver))
}

/// A session whose connection is a call inside of this one.
async fn session(kit: Arc<BuildKit>, mut method: Method) -> Result<Reply, Status> {
    let introduction = Introduction::read(&method.metadata)?;
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (mut read, mut write) = tokio::io::split(ours);
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Ok(Some(message)) = method.messages.next::<BytesMessage>().await {
            if write.write_all(&message.data).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let back = async {
            let mut buffer = vec![0; PIPE / 2];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                let data = buffer[..count].to_vec();
                if sender.send(Ok(BytesMessage { data })).await.is_err() {
                    return;
                }
            }
        };
        let (outcome, ()) = tokio::join!(kit.sessions.run(introduction, theirs), back);
        if let Err(status) = outcome {
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(grpc::stream(receiver))
}
