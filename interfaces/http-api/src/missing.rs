//! Endpoints of parts that this version does not have: clear refusals in Docker's shape.

use fault::Kind;
use hyper::StatusCode;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

fn absent(what: &str) -> Outcome {
    Err(Failure::new(
        Kind::NotImplemented,
        format!("{what} is not available in this version of dhow"),
    ))
}

pub(crate) async fn attestations(_: Call) -> Outcome {
    absent("reading attestations")
}

/// Docker answers 501 as well unless it is experimental.
pub(crate) async fn checkpoints(_: Call) -> Outcome {
    absent("checkpoint and restore")
}

pub(crate) async fn plugins(_: Call) -> Outcome {
    absent("plugin management")
}

/// There are none, which is a proper answer.
pub(crate) async fn no_plugins(_: Call) -> Outcome {
    reply::ok::<[(); 0]>(&[])
}

pub(crate) async fn no_such_plugin(call: Call) -> Outcome {
    Err(Failure::new(
        Kind::NotFound,
        format!("plugin {:?} not found", call.name()),
    ))
}

pub(crate) async fn swarm_mode(_: Call) -> Outcome {
    absent("swarm mode")
}

/// Docker's answer outside a swarm, to everything that needs a manager.
pub(crate) async fn not_a_manager(_: Call) -> Outcome {
    Err(Failure::new(
        Kind::Unavailable,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
    ))
}

pub(crate) async fn not_in_swarm(_: Call) -> Outcome {
    Err(Failure {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: "This node is not part of a swarm".to_owned(),
    })
}
