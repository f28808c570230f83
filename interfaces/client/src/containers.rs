//! `/containers`: one method per call.

use api_types::Filters;
use api_types::container::{
    Change, CreateRequest, CreateResponse, PathStat, Top, UpdateRequest, UpdateResponse, WaitResponse,
};

use crate::call::{Body, Reply};
use crate::hijack::Hijacked;
use crate::query::{Query, named};
use crate::{Client, ClientError};

/// What a wait waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// Not running; at once if it is not.
    NotRunning,
    /// The next time that it ends.
    NextExit,
    /// Until it is removed.
    Removed,
}

/// What an attach joins.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// Keep the connection for what comes (otherwise only `logs`).
    pub stream: bool,
    /// Send input.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// Replay what was logged before.
    pub logs: bool,
    /// Keys that detach, such as `ctrl-p,ctrl-q`; empty for the daemon's.
    pub detach_keys: String,
}

/// Which part of a log.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Wait for more.
    pub follow: bool,
    /// Prefix each line with its time.
    pub timestamps: bool,
    /// Prefix each line with the attributes given to the log driver.
    pub details: bool,
    /// Nothing older: seconds since 1970, with a fraction.
    pub since: String,
    /// Nothing newer.
    pub until: String,
    /// Number of lines from the end, or `all`.
    pub tail: String,
}

fn at(id: &str, verb: &str) -> Result<String, ClientError> {
    Ok(format!("/containers/{}/{verb}", named("container", id)?))
}

impl Client {
    /// The list, as bytes. `limit` is the number of newest ones; 0 for no limit.
    ///
    /// # Errors
    /// As all calls: the daemon is away or refuses.
    pub async fn container_list(
        &self,
        all: bool,
        size: bool,
        limit: i64,
        filters: &Filters,
    ) -> Result<Vec<u8>, ClientError> {
        let limit = if limit > 0 {
            limit.to_string()
        } else {
            String::new()
        };
        let query = Query::new()
            .with_flag("all", all)
            .with_some("limit", limit)
            .with_flag("size", size)
            .with_filters(filters);
        self.get("/containers/json")
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// `POST /containers/create`.
    ///
    /// # Errors
    /// As all calls; 404 if the image is missing.
    pub async fn container_create(
        &self,
        name: &str,
        platform: &str,
        request: &CreateRequest,
    ) -> Result<CreateResponse, ClientError> {
        let query = Query::new()
            .with_some("name", name)
            .with_some("platform", platform);
        self.post("/containers/create")
            .query(query)
            .body(Body::json(request)?)
            .send()
            .await?
            .json(self)
            .await
    }

    /// `GET /containers/{id}/json`, as bytes.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn container_inspect(&self, id: &str, size: bool) -> Result<Vec<u8>, ClientError> {
        let query = Query::new().with_flag("size", size);
        self.get(at(id, "json")?)
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Starts a container; true also if it ran already.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_start(
        &self,
        id: &str,
        detach_keys: &str,
        checkpoint: &str,
        checkpoint_dir: &str,
    ) -> Result<(), ClientError> {
        let query = Query::new()
            .with_some("checkpoint", checkpoint)
            .with_some("checkpoint-dir", checkpoint_dir)
            .with_some("detachKeys", detach_keys);
        self.post(at(id, "start")?)
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// `stop` or `restart`: `signal` may be empty, `timeout` is in seconds (-1 for ever).
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_stop(
        &self,
        id: &str,
        restart: bool,
        signal: &str,
        timeout: Option<i64>,
    ) -> Result<(), ClientError> {
        let timeout = timeout.map(|t| t.to_string()).unwrap_or_default();
        let query = Query::new().with_some("signal", signal).with_some("t", timeout);
        let verb = if restart { "restart" } else { "stop" };
        self.post(at(id, verb)?)
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Sends a signal (name or number; empty for `SIGKILL`).
    ///
    /// # Errors
    /// As all calls; 409 if it does not run.
    pub async fn container_kill(&self, id: &str, signal: &str) -> Result<(), ClientError> {
        let query = Query::new().with_some("signal", signal);
        self.post(at(id, "kill")?)
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Removes a container.
    ///
    /// # Errors
    /// As all calls; 409 if it runs and `force` is not set.
    pub async fn container_remove(
        &self,
        id: &str,
        volumes: bool,
        link: bool,
        force: bool,
    ) -> Result<(), ClientError> {
        let query = Query::new()
            .with_flag("v", volumes)
            .with_flag("link", link)
            .with_flag("force", force);
        self.delete(format!("/containers/{}", named("container", id)?))
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<(), ClientError> {
        let query = Query::new().with("name", name);
        self.post(at(id, "rename")?)
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Freezes or thaws a container.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_pause(&self, id: &str, pause: bool) -> Result<(), ClientError> {
        let verb = if pause { "pause" } else { "unpause" };
        self.post(at(id, verb)?).send().await?.done(self).await
    }

    /// Begins to wait. The reply's head comes when the daemon has taken note, so a start that follows cannot be
    /// missed; its body ([`WaitResponse`]) comes when the wait is over.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_wait(&self, id: &str, condition: WaitCondition) -> Result<Reply, ClientError> {
        let condition = match condition {
            WaitCondition::NotRunning => "not-running",
            WaitCondition::NextExit => "next-exit",
            WaitCondition::Removed => "removed",
        };
        self.post(at(id, "wait")?)
            .query(Query::new().with("condition", condition))
            .send()
            .await
    }

    /// The end of a wait.
    ///
    /// # Errors
    /// The connection breaks first.
    pub async fn wait_result(&self, reply: Reply) -> Result<WaitResponse, ClientError> {
        reply.json(self).await
    }

    /// Joins the streams of a container.
    ///
    /// # Errors
    /// As all calls; 409 if it is paused.
    pub async fn container_attach(&self, id: &str, options: &AttachOptions) -> Result<Hijacked, ClientError> {
        let query = Query::new()
            .with_flag("stream", options.stream)
            .with_flag("stdin", options.stdin)
            .with_flag("stdout", options.stdout)
            .with_flag("stderr", options.stderr)
            .with_some("detachKeys", &options.detach_keys)
            .with_flag("logs", options.logs);
        let reply = self.post(at(id, "attach")?).query(query).upgrade().send().await?;
        Hijacked::take_over(reply).await
    }

    /// Tells the size of the terminal, in characters.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_resize(&self, id: &str, height: u16, width: u16) -> Result<(), ClientError> {
        let query = Query::new()
            .with("h", height.to_string())
            .with("w", width.to_string());
        self.post(at(id, "resize")?)
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// The log: a framed stream, or raw if the container has a terminal.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_logs(&self, id: &str, options: &LogsOptions) -> Result<Reply, ClientError> {
        let query = Query::new()
            .with_flag("stdout", options.stdout)
            .with_flag("stderr", options.stderr)
            .with_some("since", &options.since)
            .with_some("until", &options.until)
            .with_flag("timestamps", options.timestamps)
            .with_flag("details", options.details)
            .with_flag("follow", options.follow)
            .with_some("tail", &options.tail);
        self.get(at(id, "logs")?).query(query).send().await
    }

    /// Its processes, as `ps` with these arguments shows them.
    ///
    /// # Errors
    /// As all calls; 409 if it does not run.
    pub async fn container_top(&self, id: &str, ps_args: &str) -> Result<Top, ClientError> {
        let query = Query::new().with_some("ps_args", ps_args);
        self.get(at(id, "top")?)
            .query(query)
            .send()
            .await?
            .json(self)
            .await
    }

    /// Its use of resources: one object, or one per second.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_stats(&self, id: &str, stream: bool) -> Result<Reply, ClientError> {
        let query = Query::new().with("stream", if stream { "1" } else { "0" });
        self.get(at(id, "stats")?).query(query).send().await
    }

    /// What was changed in its filesystem.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<Change>, ClientError> {
        let changes: Option<Vec<Change>> = self.get(at(id, "changes")?).send().await?.json(self).await?;
        Ok(changes.unwrap_or_default())
    }

    /// Its filesystem as a tar stream.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_export(&self, id: &str) -> Result<Reply, ClientError> {
        self.get(at(id, "export")?).send().await
    }

    /// What a path in a container is: the text of the header `X-Docker-Container-Path-Stat`.
    ///
    /// # Errors
    /// As all calls; 404 if there is no such path.
    pub async fn container_stat(&self, id: &str, path: &str) -> Result<String, ClientError> {
        let query = Query::new().with("path", path);
        let reply = self.head(at(id, "archive")?).query(query).send().await?;
        let header = reply
            .header("x-docker-container-path-stat")
            .unwrap_or_default()
            .to_owned();
        reply.done(self).await?;
        Ok(header)
    }

    /// A path in a container as a tar stream; its stat is in the header `X-Docker-Container-Path-Stat`.
    ///
    /// # Errors
    /// As all calls; 404 if there is no such path.
    pub async fn container_archive(&self, id: &str, path: &str) -> Result<Reply, ClientError> {
        self.get(at(id, "archive")?)
            .query(Query::new().with("path", path))
            .send()
            .await
    }

    /// Unpacks a tar stream in a directory of a container.
    ///
    /// # Errors
    /// As all calls; 404 if there is no such directory.
    pub async fn container_unpack(
        &self,
        id: &str,
        path: &str,
        copy_owner: bool,
        body: Body,
    ) -> Result<(), ClientError> {
        let mut query = Query::new()
            .with("path", path)
            .with("noOverwriteDirNonDir", "true");
        if copy_owner {
            query = query.with("copyUIDGID", "true");
        }
        self.put(at(id, "archive")?)
            .query(query)
            .body(body)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Changes limits and the restart policy.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_update(
        &self,
        id: &str,
        request: &UpdateRequest,
    ) -> Result<UpdateResponse, ClientError> {
        self.post(at(id, "update")?)
            .body(Body::json(request)?)
            .send()
            .await?
            .json(self)
            .await
    }

    /// Makes an image of a container; the reply is `{"Id": ...}`.
    ///
    /// # Errors
    /// As all calls.
    pub async fn container_commit(&self, query: Query, body: Body) -> Result<Vec<u8>, ClientError> {
        self.post("/commit")
            .query(query)
            .body(body)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Removes unused objects of a kind (`containers`, `images`, `networks`, `volumes`, `build`).
    ///
    /// # Errors
    /// As all calls.
    pub async fn prune(&self, kind: &str, filters: &Filters) -> Result<Vec<u8>, ClientError> {
        let query = Query::new().with_filters(filters);
        self.post(format!("/{kind}/prune"))
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }
}

/// The stat of a path, from the header's Base64 text.
///
/// # Errors
/// The text is not Base64 of JSON.
pub fn parse_stat(header: &str) -> Result<PathStat, serde_json::Error> {
    serde_json::from_slice(&from_base64(header))
}

/// Standard Base64; anything else in the text is skipped, and the JSON parser behind it has the last word.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bits, mut have, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    out
}
