//! From a request to an answer, or to what was planned instead.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ServerConnection, StreamOwned};

use crate::http::{Request, Response};
use crate::{Fault, Guard, Shared, lock};

/// How a connection begins that wants TLS (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

pub(crate) fn connection(shared: &Shared, stream: TcpStream) {
    // What a client breaks off is no failure of the test.
    let _ = match &shared.tls {
        None => serve(shared, stream),
        Some(identity) => {
            let connection = ServerConnection::new(Arc::clone(&identity.config)).expect("TLS");
            let raw = stream.try_clone().expect("socket");
            let served = serve(shared, StreamOwned::new(connection, stream));
            if identity.asks_back {
                read_to_the_end(raw);
            }
            served
        }
    };
}

/// Who is refused has sent a request already; were it left unread, the kernel would reset the connection, and the refusal
/// might get lost.
fn read_to_the_end(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = io::copy(&mut stream, &mut io::sink());
}

fn serve<S: Read + Write>(shared: &Shared, stream: S) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
        // As Go's servers do: docker's command goes on with plain HTTP only after such an answer.
        let said = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n";
        return stream.get_mut().write_all(said.as_bytes());
    }
    while let Some(mut request) = Request::read(&mut stream)? {
        let mut line = format!("{} {}", request.method, request.path);
        if !request.query.is_empty() {
            line.push_str(&format!("?{}", request.query));
        }
        if let Some(range) = request.header("range") {
            line.push_str(&format!(" {range}"));
        }
        shared.note(line.clone());
        let fault = shared.fault(&line);
        if let Some(Fault::Break(most)) = fault {
            request.read_body(&mut stream, most)?;
            answer(shared, &request, false);
            return Ok(());
        }
        request.read_body(&mut stream, usize::MAX)?;
        let mut response = match &fault {
            Some(Fault::Status(status, headers)) => Response {
                headers: headers.clone(),
                ..Response::error(*status, "UNKNOWN", "planned")
            },
            Some(Fault::Redirect(place)) => Response::new(307).header(format!("Location: {place}")),
            Some(Fault::Body(bytes)) => Response::new(200).body(bytes.clone()),
            fault => answer(shared, &request, *fault == Some(Fault::NoRange)),
        };
        if let Some(Fault::Encoding(name)) = fault {
            response = response.header(format!("Content-Encoding: {name}"));
        }
        if fault == Some(Fault::Lie)
            && let Some(byte) = response.body.first_mut()
        {
            *byte ^= 1;
        }
        let length = response.body.len();
        let out = stream.get_mut();
        match fault {
            Some(Fault::Longer(more)) => {
                out.write_all(response.head(None).as_bytes())?;
                response.body.resize(length + more, 0);
                out.write_all(&response.body)?;
                return out.flush();
            }
            Some(Fault::Cut(after) | Fault::Stall(after)) => {
                out.write_all(response.head(Some(length)).as_bytes())?;
                out.write_all(&response.body[..after.min(length)])?;
                out.flush()?;
                if matches!(fault, Some(Fault::Stall(_))) {
                    // Until the client has had enough.
                    let _ = out.read(&mut [0]);
                }
                return Ok(());
            }
            _ => {
                out.write_all(response.head(Some(length)).as_bytes())?;
                if request.method != "HEAD" {
                    out.write_all(&response.body)?;
                }
                out.flush()?;
            }
        }
    }
    Ok(())
}

fn answer(shared: &Shared, request: &Request, no_range: bool) -> Response {
    if request.path == "/token" {
        return token(shared, request);
    }
    if let Some(refusal) = refusal(shared, request) {
        return refusal;
    }
    let Some(rest) = request.path.strip_prefix("/v2/") else {
        return Response::error(404, "NOT_FOUND", "no such page");
    };
    let method = request.method.as_str();
    let mut content = lock(&shared.content);
    if rest.is_empty() {
        return Response::new(200).body("{}");
    }
    if rest == "_catalog" {
        let names = serde_json::json!({"repositories": content.repositories()});
        return Response::new(200).body(names.to_string());
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        let tags = serde_json::json!({"name": repository, "tags": content.tags(repository)});
        return Response::new(200).body(tags.to_string());
    }
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        if method == "PUT" {
            let kind = request.header("content-type").unwrap_or_default().to_owned();
            let digest = content.put_manifest(repository, name, &kind, request.body.clone());
            return Response::new(201).header(format!("Docker-Content-Digest: {digest}"));
        }
        if method == "DELETE" && content.remove_manifest(repository, name) {
            return Response::new(202);
        }
        return match content.manifest(repository, name).filter(|_| method != "DELETE") {
            Some((kind, bytes)) => Response::new(200)
                .header(format!("Content-Type: {kind}"))
                .header(format!("Docker-Content-Digest: {}", crate::digest(&bytes)))
                .body(bytes),
            None => Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        };
    }
    if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
        return upload(&mut content, request, repository, id);
    }
    if let Some((repository, digest)) = rest.split_once("/blobs/") {
        let Some(bytes) = content.blob(repository, digest) else {
            return Response::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let from = request
            .header("range")
            .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        return match from.filter(|from: &usize| !no_range && *from < bytes.len()) {
            Some(from) => Response::new(206)
                .header(format!(
                    "Content-Range: bytes {from}-{}/{}",
                    bytes.len() - 1,
                    bytes.len()
                ))
                .body(&bytes[from..]),
            None => Response::new(200).body(bytes),
        };
    }
    Response::error(404, "NAME_UNKNOWN", "repository name not known to registry")
}

fn upload(content: &mut crate::content::Content, request: &Request, repository: &str, id: &str) -> Response {
    let place = |id: &str| format!("Location: /v2/{repository}/blobs/uploads/{id}?_state=x%2Fy");
    match request.method.as_str() {
        "POST" => {
            let mounted = request.parameter("mount").zip(request.parameter("from"));
            if let Some((digest, from)) = mounted
                && let Some(bytes) = content.blob(&from, &digest)
            {
                content.put_blob(repository, &digest, bytes);
                return Response::new(201).header(format!("Location: /v2/{repository}/blobs/{digest}"));
            }
            let id = content.begin();
            Response::new(202).header(place(&id))
        }
        "GET" => match content.uploads.get(id) {
            Some(bytes) => Response::new(204)
                .header(format!("Range: 0-{}", bytes.len().saturating_sub(1)))
                .header(place(id)),
            None => Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
        },
        "PATCH" => match content.uploads.get_mut(id) {
            Some(bytes) => {
                bytes.extend_from_slice(&request.body);
                Response::new(202).header(place(id))
            }
            None => Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
        },
        "PUT" => {
            let Some(mut bytes) = content.uploads.remove(id) else {
                return Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
            };
            bytes.extend_from_slice(&request.body);
            let digest = request.parameter("digest").unwrap_or_default();
            if crate::digest(&bytes) != digest {
                return Response::error(
                    400,
                    "DIGEST_INVALID",
                    "provided digest did not match uploaded content",
                );
            }
            content.put_blob(repository, &digest, bytes);
            Response::new(201).header(format!("Location: /v2/{repository}/blobs/{digest}"))
        }
        "DELETE" => {
            content.uploads.remove(id);
            Response::new(204)
        }
        _ => Response::error(405, "UNSUPPORTED", "no such method"),
    }
}

/// `Basic` of a name and a password.
fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("Basic ");
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            if place <= three.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn refusal(shared: &Shared, request: &Request) -> Option<Response> {
    let shown = request.header("authorization").unwrap_or_default();
    match &*lock(&shared.guard) {
        Guard::Open => None,
        Guard::Basic(user, password) if shown == basic(user, password) => None,
        Guard::Basic(..) => Some(
            Response::error(401, "UNAUTHORIZED", "authentication required")
                .header("WWW-Authenticate: Basic realm=\"fake\""),
        ),
        Guard::Token { .. } => {
            let mut tokens = lock(&shared.tokens);
            let good = shown
                .strip_prefix("Bearer ")
                .and_then(|token| tokens.get_mut(token));
            if let Some(left) = good
                && *left > 0
            {
                *left -= 1;
                return None;
            }
            let scheme = if shared.tls.is_some() { "https" } else { "http" };
            // By the name that the client knows: certificates are for names.
            let host = request.header("host").unwrap_or_default();
            Some(
                Response::error(401, "UNAUTHORIZED", "authentication required").header(format!(
                    "WWW-Authenticate: Bearer realm=\"{scheme}://{host}/token\",service=\"fake\",scope=\"repository:x:pull\""
                )),
            )
        }
    }
}

fn token(shared: &Shared, request: &Request) -> Response {
    let guard = lock(&shared.guard).clone();
    let Guard::Token { user, password, uses } = guard else {
        return Response::error(404, "NOT_FOUND", "no tokens here");
    };
    let refresh = format!("refresh-of-{user}");
    let by_password = request.header("authorization") == Some(&basic(&user, &password));
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let by_refresh = form.contains(&format!("refresh_token={refresh}"));
    if !by_password && !by_refresh {
        return Response::error(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let mut tokens = lock(&shared.tokens);
    let token = format!("token-{}", tokens.len() + 1);
    tokens.insert(token.clone(), uses);
    let mut granted = serde_json::json!({"token": token, "expires_in": 300});
    if request.query.contains("offline_token=true") {
        granted["refresh_token"] = refresh.into();
    }
    Response::new(200)
        .header("Content-Type: application/json")
        .body(granted.to_string())
}
