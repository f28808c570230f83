//! The files of a build on their way in: sent by the client, or fetched from where it says.

use std::path::Path;

use dockerfile::remote::Remote;

use crate::context::{self, Context, Source};
use crate::contexts::Contexts;
use crate::error::file;
use crate::{BuildError, BuildRequest, Builds, sources};

impl Builds {
    /// The files that the client sends, or has named.
    pub(crate) async fn receive(
        &self,
        request: &BuildRequest,
        source: Source,
        directory: &Path,
        contexts: Contexts,
        cancelled: impl Future<Output = ()>,
    ) -> Result<(Context, Contexts), BuildError> {
        std::fs::create_dir_all(directory).map_err(file("create", directory))?;
        let body = match source {
            Source::Archive(body) => body,
            Source::Directory {
                path,
                dockerfile,
                ignore,
                guard,
            } => {
                let context = Context {
                    root: sources::tree(&path)?,
                    path,
                    guard: Some(guard),
                    dockerfile,
                    ignore,
                };
                return Ok((context, contexts));
            }
            Source::Kept { path, guard } => {
                let mut context = context::open(path, &request.dockerfile)?;
                context.guard = Some(guard);
                return Ok((context, contexts));
            }
        };
        let (path, build) = (directory.join("context"), directory.to_owned());
        let name = request.dockerfile.clone();
        if request.remote.is_empty() {
            return blocking(move || {
                let context = context::receive(body, path, &name, &contexts, &build)?;
                Ok((context, contexts))
            })
            .await;
        }
        let remote = sources::parse(&request.remote)?.ok_or_else(|| {
            BuildError::Parameter(format!(
                "remoteURL ({}) could not be recognized as URL",
                request.remote
            ))
        })?;
        // The body has named contexts at most.
        let sent = directory.join("sent");
        let contexts = blocking(move || {
            context::unpack(body, &sent)?;
            contexts.take(&sent, &build)?;
            Ok(contexts)
        });
        let contexts = contexts.await?;
        let fetched = directory.join("fetched");
        let fetching = async {
            match &remote {
                Remote::Git(repository) => {
                    let checkout = sources::checkout(repository, None, false, fetched.clone()).await?;
                    Ok::<_, BuildError>(Some(checkout.directory(&repository.directory)?.path))
                }
                Remote::Http(url) => {
                    sources::download(&self.images, url, None, &fetched).await?;
                    Ok(None)
                }
            }
        };
        let checkout = tokio::select! {
            checkout = fetching => checkout?,
            () = cancelled => return Err(BuildError::Cancelled),
        };
        blocking(move || {
            let context = match checkout {
                Some(path) => context::open(path, &name)?,
                None => {
                    let body = std::fs::File::open(&fetched).map_err(file("open", &fetched))?;
                    context::receive(body, path, &name, &Contexts::default(), &fetched)?
                }
            };
            Ok((context, contexts))
        })
        .await
    }
}

/// Does what blocks, to its end even if nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BuildError::task(&error))?
}
