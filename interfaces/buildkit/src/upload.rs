//! An archive that the client offers under a path: the service `moby.upload.v1.Upload`.

use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use images::{InputReader, input};

use crate::grpc::Status;
use crate::session::Session;

const PULL: &str = "/moby.upload.v1.Upload/Pull";
/// What URLs of such archives begin with; the path follows.
const URL: &str = "http://buildkit-session";

/// The path of an archive, if a URL names one.
pub(crate) fn path(url: &str) -> Option<&str> {
    url.strip_prefix(URL).filter(|path| path.starts_with('/'))
}

/// Begins to read the archive at a path.
///
/// # Errors
/// The client offers none.
pub(crate) fn pull(session: &Session, path: &str) -> Result<InputReader, Status> {
    let metadata = [
        ("urlpath".to_owned(), path.to_owned()),
        ("urlhost".to_owned(), "buildkit-session".to_owned()),
    ];
    let channel = session.call(PULL)?;
    let (questions, mut answers) = channel.duplex::<BytesMessage, BytesMessage>(PULL, &metadata)?;
    let (sender, reader) = input();
    tokio::spawn(async move {
        let _asking = questions;
        loop {
            match answers.next().await {
                Ok(Some(message)) => {
                    if !sender.send(message.data.into()).await {
                        return;
                    }
                }
                Ok(None) => return sender.finish().await,
                Err(status) => return sender.fail(std::io::Error::other(status)).await,
            }
        }
    });
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_the_session_name_an_archive() {
        assert_eq!(path("http://buildkit-session/abc"), Some("/abc"));
        assert_eq!(path("http://buildkit-session.example/abc"), None);
        assert_eq!(path("https://example.com/x.tar"), None);
    }
}
