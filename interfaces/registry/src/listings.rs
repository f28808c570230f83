//! Lists: repositories, tags, referrers; page by page.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use oci::digest::Digest;
use oci::image::media_type;
use serde_json::json;

use crate::auth::{Action, Identity};
use crate::error::{Code, Failure};
use crate::manifest::Parsed;
use crate::query::escape;
use crate::registry::{Call, Registry};
use crate::reply::{self, Outcome, Reply, set};

/// No page is longer, whatever is asked for.
const LONGEST_PAGE: usize = 20_000;
/// A page of referrers ends when it has about this many bytes (that of the largest manifest).
const REFERRERS_PAGE: usize = 2 << 20;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Registry {
    pub(crate) fn catalog(&self, call: &Call) -> Outcome {
        let last = call.query.get("last").unwrap_or_default();
        let page = Page::cut(call, |limit| self.visible(&call.identity, last, limit))?;
        let body = json!({ "repositories": page.items }).to_string() + "\n";
        Ok(page.link(reply::whole("application/json", body), "/v2/_catalog"))
    }

    /// The names of repositories after `last` that somebody may pull from.
    fn visible(&self, identity: &Identity, last: &str, limit: usize) -> Vec<String> {
        let may = |name: &str| match identity {
            // A token for the catalog names no repositories: the rules are asked.
            Identity::Token { user, .. } => self.guard.may_user(user, name, Action::Pull),
            other => self.guard.may(other, name, Action::Pull),
        };
        let mut found = Vec::new();
        let mut last = last.to_owned();
        while found.len() < limit {
            let names = self.state.repositories(&last, limit);
            let Some(end) = names.last() else { break };
            last.clone_from(end);
            found.extend(names.into_iter().filter(|name| may(name)));
        }
        found.truncate(limit);
        found
    }

    pub(crate) fn tag_list(&self, name: &str, call: &Call) -> Outcome {
        if !self.state.has_repository(name) {
            return Err(self.unknown(name, Code::NameUnknown, "repository"));
        }
        let last = call.query.get("last").unwrap_or_default();
        let page = Page::cut(call, |limit| self.state.tags(name, last, limit))?;
        let body = json!({ "name": name, "tags": page.items }).to_string() + "\n";
        Ok(page.link(
            reply::whole("application/json", body),
            &format!("/v2/{name}/tags/list"),
        ))
    }

    pub(crate) async fn referrer_list(&self, name: &str, subject: &Digest, call: &Call) -> Outcome {
        let wanted = call.query.get("artifactType").filter(|text| !text.is_empty());
        let mut last = call.query.get("last").unwrap_or_default().to_owned();
        let mut descriptors: Vec<serde_json::Value> = Vec::new();
        let mut size = 0;
        let mut more = false;
        'pages: loop {
            let digests = self.state.referrers(name, subject, &last, 100);
            let Some(end) = digests.last() else { break };
            let end = end.to_string();
            for digest in digests {
                let Some(row) = self.state.manifest(name, &digest) else {
                    continue;
                };
                if wanted.is_some_and(|wanted| row.artifact_type.as_deref() != Some(wanted)) {
                    continue;
                }
                if size > REFERRERS_PAGE {
                    more = true;
                    break 'pages;
                }
                let bytes = self.manifest_bytes(&digest).await?;
                let annotations = Parsed::read(&bytes, Some(&row.media_type))?.annotations;
                let mut descriptor =
                    json!({ "mediaType": row.media_type, "digest": digest, "size": row.size });
                if let Some(artifact_type) = &row.artifact_type {
                    descriptor["artifactType"] = json!(artifact_type);
                }
                if !annotations.is_empty() {
                    size += annotations
                        .iter()
                        .map(|(key, value)| key.len() + value.len())
                        .sum::<usize>();
                    descriptor["annotations"] = json!(annotations);
                }
                size += 300;
                descriptors.push(descriptor);
                last = digest.to_string();
            }
            last = end;
        }
        let body =
            json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": descriptors });
        let mut reply = reply::whole("application/json", body.to_string());
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_INDEX));
        let mut query = format!("last={}", escape(&last));
        if let Some(wanted) = wanted {
            headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
            query += &format!("&artifactType={}", escape(wanted));
        }
        if more {
            set(
                headers,
                LINK,
                &format!("</v2/{name}/referrers/{subject}?{query}>; rel=\"next\""),
            );
        }
        Ok(reply)
    }
}

/// Some items of a longer list.
struct Page {
    items: Vec<String>,
    limit: usize,
    more: bool,
}

impl Page {
    /// The page that is asked for, of a list that gives as many items as it is told.
    fn cut(call: &Call, list: impl FnOnce(usize) -> Vec<String>) -> Result<Self, Failure> {
        let limit = call.query.page()?.unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE);
        if limit == 0 {
            return Ok(Self {
                items: Vec::new(),
                limit,
                more: false,
            });
        }
        let mut items = list(limit + 1);
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Self { items, limit, more })
    }

    /// Adds where the next page is.
    fn link(&self, mut reply: Reply, path: &str) -> Reply {
        if let Some(last) = self.items.last().filter(|_| self.more) {
            let link = format!("<{path}?last={}&n={}>; rel=\"next\"", escape(last), self.limit);
            set(reply.headers_mut(), LINK, &link);
        }
        reply
    }
}
