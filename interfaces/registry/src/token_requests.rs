//! `/token`: where clients fetch tokens (Docker's token authentication; OAuth 2 for refresh tokens).

use bytes::BytesMut;
use hyper::body::Body as _;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use hyper::{Method, StatusCode};

use crate::auth::basic;
use crate::error::{Code, Failure};
use crate::query::Query;
use crate::registry::{Call, Registry};
use crate::reply::{self, Outcome};

/// A form is no longer.
const LONGEST_FORM: usize = 64 << 10;

impl Registry {
    pub(crate) async fn token(&self, mut call: Call) -> Outcome {
        let Some(tokens) = &self.guard.tokens else {
            return Err(
                Failure::new(Code::Unsupported, "this registry has no token service")
                    .with_status(StatusCode::NOT_FOUND),
            );
        };
        let (query, user, refresh) = if call.method == Method::POST {
            let form = read_form(&mut call).await?;
            let user = match form.get("grant_type") {
                Some("password") => {
                    let text = |name| form.get(name).unwrap_or_default();
                    let (user, password) = (text("username"), text("password"));
                    self.guard.verify(user, password).await?.then(|| user.to_owned())
                }
                Some("refresh_token") => tokens.refreshes(form.get("refresh_token").unwrap_or_default()),
                _ => {
                    return Err(Failure::new(
                        Code::Unsupported,
                        "grant_type must be password or refresh_token",
                    )
                    .with_status(StatusCode::BAD_REQUEST));
                }
            };
            let refresh = form.get("access_type") == Some("offline");
            (form, user, refresh)
        } else {
            let user = self.basic_user(&call).await?;
            let refresh = matches!(call.query.get("offline_token"), Some("1" | "true"));
            (call.query, user, refresh)
        };
        let Some(user) = user else {
            return Err(Failure::new(Code::Unauthorized, "wrong name or password"));
        };
        let scopes: Vec<&str> = query.all("scope").collect();
        let issued = tokens.issue(&self.guard, &user, &scopes.join(" "), refresh)?;
        let body = serde_json::to_vec(&issued)
            .map_err(|_| Failure::new(Code::Unknown, "a token could not be written"))?;
        let mut reply = reply::whole("application/json", body);
        reply
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply)
    }

    /// The user who is named in the head; the empty name without one, nothing when the password is wrong.
    async fn basic_user(&self, call: &Call) -> Result<Option<String>, Failure> {
        let Some(value) = call.headers.get(AUTHORIZATION) else {
            return Ok(Some(String::new()));
        };
        let (scheme, proof) = value
            .to_str()
            .unwrap_or_default()
            .split_once(' ')
            .unwrap_or_default();
        let Some((user, password)) = basic(scheme, proof) else {
            return Ok(None);
        };
        Ok(self.guard.verify(&user, &password).await?.then_some(user))
    }
}

async fn read_form(call: &mut Call) -> Result<Query, Failure> {
    let refused = || {
        Failure::new(Code::Unsupported, "the form did not arrive whole, or is too long")
            .with_status(StatusCode::BAD_REQUEST)
    };
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut call.body).poll_frame(cx)).await
    {
        if let Ok(data) = frame.map_err(|_| refused())?.into_data() {
            if bytes.len() + data.len() > LONGEST_FORM {
                return Err(refused());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Query::parse(std::str::from_utf8(&bytes).map_err(|_| refused())?))
}
