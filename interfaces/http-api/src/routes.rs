//! Every endpoint of the API, one line each, and the services behind them.

use std::sync::Arc;

use ::buildkit::BuildKit;
use ::builds::Builds;
use ::containers::Containers;
use ::images::Images;
use events::Events;
use hyper::Method;
use networks::Networks;
use volumes::Volumes;

use crate::daemon::Daemon;
use crate::router::Route;
use crate::{
    buildkit, builds as build, containers as container, disk_usage, events as event, exec, images as image,
    missing, networks as network, system, volumes as volume,
};

/// The services that the endpoints call.
#[derive(Debug)]
pub struct Api {
    /// Facts and settings of the daemon itself.
    pub daemon: Arc<Daemon>,
    /// The bus.
    pub events: Arc<Events>,
    /// Images.
    pub images: Arc<Images>,
    /// Volumes.
    pub volumes: Arc<Volumes>,
    /// Networks.
    pub networks: Arc<Networks>,
    /// Containers.
    pub containers: Arc<Containers>,
    /// Builds.
    pub builds: Arc<Builds>,
    /// BuildKit's protocol.
    pub buildkit: Arc<BuildKit>,
}

/// Each line: method, path, handler, and the services that the handler gets.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:path [$($service:ident),*];)*) => {
        /// The route table. The first line that fits answers, so literal paths stand before those with names.
        pub(crate) static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            handler: |api, call| {
                let _ = api;
                $(let $service = Arc::clone(&api.$service);)*
                Box::pin($handler($($service,)* call))
            },
        }),*];
    };
}

routes! {
    GET  "/_ping" => system::ping [];
    HEAD "/_ping" => system::ping [];
    GET  "/version" => system::version [daemon];
    GET  "/events" => event::stream [events];

    GET  "/info" => system::info [daemon, containers, images];
    GET  "/system/df" => disk_usage::disk_usage [containers, images, volumes, buildkit];

    GET    "/containers/json" => container::list [containers];
    POST   "/containers/create" => container::create [containers, daemon];
    POST   "/containers/prune" => container::prune [containers];
    GET    "/containers/{name}/json" => container::inspect [containers];
    GET    "/containers/{name}/top" => container::top [containers];
    GET    "/containers/{name}/logs" => container::logs [containers];
    GET    "/containers/{name}/changes" => container::changes [containers];
    GET    "/containers/{name}/export" => container::export [containers];
    GET    "/containers/{name}/stats" => container::stats [containers];
    POST   "/containers/{name}/resize" => container::resize [containers];
    POST   "/containers/{name}/start" => container::start [containers];
    POST   "/containers/{name}/stop" => container::stop [containers];
    POST   "/containers/{name}/restart" => container::restart [containers];
    POST   "/containers/{name}/kill" => container::kill [containers];
    POST   "/containers/{name}/update" => container::update [containers];
    POST   "/containers/{name}/rename" => container::rename [containers];
    POST   "/containers/{name}/pause" => container::pause [containers];
    POST   "/containers/{name}/unpause" => container::unpause [containers];
    POST   "/containers/{name}/attach" => container::attach [containers];
    GET    "/containers/{name}/attach/ws" => container::attach_ws [containers];
    POST   "/containers/{name}/wait" => container::wait [containers];
    HEAD   "/containers/{name}/archive" => container::path_stat [containers];
    GET    "/containers/{name}/archive" => container::get_archive [containers];
    PUT    "/containers/{name}/archive" => container::put_archive [containers];
    POST   "/containers/{name}/exec" => exec::create [containers];
    DELETE "/containers/{name}" => container::remove [containers];

    POST "/exec/{id}/start" => exec::start [containers];
    POST "/exec/{id}/resize" => exec::resize [containers];
    GET  "/exec/{id}/json" => exec::inspect [containers];

    POST   "/commit" => image::commit [containers];
    GET    "/images/json" => image::list [images];
    POST   "/images/create" => image::create [images];
    POST   "/images/load" => image::load [images];
    POST   "/images/prune" => image::prune [images];
    GET    "/images/get" => image::save_all [images];
    GET    "/images/{name}/get" => image::save [images];
    GET    "/images/{name}/files" => image::files [images];
    GET    "/images/{name}/json" => image::inspect [images];
    GET    "/images/{name}/history" => image::history [images];
    GET    "/images/{name}/layers" => image::layers [images];
    GET    "/images/{name}/changes" => image::differences [images];
    POST   "/images/{name}/squash" => image::squash [images];
    POST   "/images/{name}/tag" => image::tag [images];
    DELETE "/images/{name}" => image::remove [images];

    GET    "/volumes" => volume::list [volumes];
    POST   "/volumes/create" => volume::create [volumes];
    POST   "/volumes/prune" => volume::prune [volumes];
    GET    "/volumes/{name}" => volume::inspect [volumes];
    PUT    "/volumes/{name}" => volume::update [volumes];
    DELETE "/volumes/{name}" => volume::remove [volumes];

    GET    "/networks" => network::list [networks];
    GET    "/networks/" => network::list [networks];
    POST   "/networks/create" => network::create [networks];
    POST   "/networks/prune" => network::prune [networks];
    POST   "/networks/{id}/connect" => network::connect [containers];
    POST   "/networks/{id}/disconnect" => network::disconnect [containers];
    GET    "/networks/{id}" => network::inspect [networks];
    DELETE "/networks/{id}" => network::remove [networks];

    POST "/auth" => image::login [images];
    GET  "/images/search" => image::search [images];
    POST "/images/{name}/push" => image::push [images];
    GET  "/distribution/{name}/json" => image::distribution [images];
    GET    "/distribution/{name}/manifest" => image::documents::manifest [images];
    PUT    "/distribution/{name}/manifest" => image::documents::put_manifest [images];
    DELETE "/distribution/{name}/manifest" => image::documents::delete_manifest [images];
    POST   "/distribution/{name}/copy" => image::documents::copy [images];
    GET    "/distribution/{name}/referrers" => image::documents::referrers [images];
    GET    "/distribution/{name}/signatures" => image::documents::signatures [images];
    GET    "/distribution/{name}/tags" => image::documents::tags [images];
    GET    "/distribution/{name}/blobs/{digest}" => image::documents::get_blob [images];
    PUT    "/distribution/{name}/blobs/{digest}" => image::documents::put_blob [images];
    GET  "/images/{name}/attestations" => missing::attestations [];
    POST "/build" => build::build [builds, buildkit];
    POST "/build/agent" => buildkit::agent [buildkit];
    POST "/build/context" => build::list_context [buildkit];
    POST "/build/prune" => build::prune [buildkit];
    POST "/build/cancel" => build::cancel [builds];
    POST "/session" => buildkit::session [buildkit];
    POST "/grpc" => buildkit::grpc [buildkit];
    GET    "/containers/{name}/checkpoints" => missing::checkpoints [];
    POST   "/containers/{name}/checkpoints" => missing::checkpoints [];
    DELETE "/containers/{name}/checkpoints/{checkpoint}" => missing::checkpoints [];

    GET  "/plugins" => missing::no_plugins [];
    GET  "/plugins/privileges" => missing::plugins [];
    GET  "/plugins/{name}/json" => missing::no_such_plugin [];
    POST "/plugins/{name}" => missing::plugins [];
    DELETE "/plugins/{name}" => missing::no_such_plugin [];

    POST "/swarm/init" => missing::swarm_mode [];
    POST "/swarm/join" => missing::swarm_mode [];
    POST "/swarm/leave" => missing::not_in_swarm [];
    GET  "/swarm" => missing::not_a_manager [];
    GET  "/swarm/{what}" => missing::not_a_manager [];
    POST "/swarm/{what}" => missing::not_a_manager [];
    GET    "/nodes" => missing::not_a_manager [];
    GET    "/nodes/{id}" => missing::not_a_manager [];
    POST   "/nodes/{id}" => missing::not_a_manager [];
    DELETE "/nodes/{id}" => missing::not_a_manager [];
    GET    "/services" => missing::not_a_manager [];
    GET    "/services/{id}" => missing::not_a_manager [];
    POST   "/services/{id}" => missing::not_a_manager [];
    DELETE "/services/{id}" => missing::not_a_manager [];
    GET    "/tasks" => missing::not_a_manager [];
    GET    "/tasks/{id}" => missing::not_a_manager [];
    GET    "/secrets" => missing::not_a_manager [];
    GET    "/secrets/{id}" => missing::not_a_manager [];
    POST   "/secrets/{id}" => missing::not_a_manager [];
    DELETE "/secrets/{id}" => missing::not_a_manager [];
    GET    "/configs" => missing::not_a_manager [];
    GET    "/configs/{id}" => missing::not_a_manager [];
    POST   "/configs/{id}" => missing::not_a_manager [];
    DELETE "/configs/{id}" => missing::not_a_manager [];

    OPTIONS "/{any}" => system::options [];
}
