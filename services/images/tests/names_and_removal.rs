//! Names, lists, holds and removal, by Docker's rules and in its words.

mod support;

use api_types::Filters;
use fault::{Fault, Kind};
use images::{CommitOptions, ImageError, ImportOptions, RemoveOptions, Use};
use support::{Archive, House, is_root, tar};

const FORCE: RemoveOptions = RemoveOptions {
    force: true,
    no_prune: false,
};

async fn house_with(tag: &str) -> (House, oci::digest::Digest) {
    let house = House::new();
    let archive = Archive::new(tag, vec![tar(&[(tag, b"x")])]);
    house.load(archive.legacy()).await.unwrap();
    (house, archive.id())
}

async fn remove(house: &House, name: &str) -> Result<Vec<String>, ImageError> {
    remove_with(house, name, RemoveOptions::default()).await
}

async fn remove_with(house: &House, name: &str, options: RemoveOptions) -> Result<Vec<String>, ImageError> {
    let items = house.images.remove(name, options).await?;
    let line = |item: api_types::image::DeleteItem| match item.untagged.as_str() {
        "" => format!("Deleted: {}", item.deleted),
        name => format!("Untagged: {name}"),
    };
    Ok(items.into_iter().map(line).collect())
}

#[tokio::test]
async fn an_image_is_found_by_name_id_and_beginning_of_id() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    let hex = id.hex().to_owned();
    for name in [
        "web:1",
        "docker.io/library/web:1",
        "library/web:1",
        &hex,
        &id.to_string(),
        &hex[..12],
        &hex[..2],
    ] {
        assert_eq!(house.images.resolve(name).unwrap().id, id, "{name}");
    }
    assert_eq!(
        house.images.resolve("web").unwrap_err().to_string(),
        "No such image: web:latest"
    );
    assert_eq!(
        house.images.resolve("nope@sha256:ab").unwrap_err().to_string(),
        "invalid reference format"
    );
    assert_eq!(house.images.resolve("web:1").unwrap_err_or_kind(), None);
    let error = house.images.resolve("WEB").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidParameter);
    assert_eq!(
        error.to_string(),
        "invalid reference format: repository name (library/WEB) must be lowercase"
    );
}

trait ErrorKind {
    fn unwrap_err_or_kind(self) -> Option<Kind>;
}

impl<T> ErrorKind for Result<T, ImageError> {
    fn unwrap_err_or_kind(self) -> Option<Kind> {
        self.err().map(|error| error.kind())
    }
}

#[tokio::test]
async fn a_tag_is_one_more_name_and_survives_a_restart() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    house
        .images
        .tag("web:1", "localhost:5000/x/y", "v2")
        .await
        .unwrap();
    house.images.tag(id.short(), "web", "").await.unwrap();
    let error = house
        .images
        .tag("web:1", "sha256", "x")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "refusing to create an ambiguous tag using digest algorithm as name"
    );
    let error = house
        .images
        .tag("web:1", "web", "a b")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "invalid tag format");
    let house = house.reopen().await;
    let image = house.images.resolve("web").unwrap();
    assert_eq!(image.repo_tags, ["localhost:5000/x/y:v2", "web:1", "web:latest"]);
    assert!(image.last_tagged.is_some());
}

#[tokio::test]
async fn removing_one_of_two_names_untags_and_removing_the_last_deletes() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    house.images.tag("web:1", "web", "2").await.unwrap();
    assert_eq!(remove(&house, "web:2").await.unwrap(), ["Untagged: web:2"]);
    let chain = house.images.get(&id).unwrap().chain_ids[0].clone();
    let expected = [
        "Untagged: web:1".to_owned(),
        format!("Deleted: {id}"),
        format!("Deleted: {chain}"),
    ];
    assert_eq!(remove(&house, "web:1").await.unwrap(), expected);
    assert_eq!(house.on_disk(), (vec![], vec![]));
    assert_eq!(
        remove(&house, "web:1").await.unwrap_err().to_string(),
        "No such image: web:1"
    );
    let house = house.reopen().await;
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn an_id_with_names_in_two_repositories_must_be_forced() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    house.images.tag("web:1", "other", "1").await.unwrap();
    let error = remove(&house, id.short()).await.unwrap_err();
    let expected = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        id.short()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), Kind::Conflict);
    let removed = remove_with(&house, id.short(), FORCE).await.unwrap();
    assert_eq!(removed[..2], ["Untagged: other:1", "Untagged: web:1"]);
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn removing_a_held_image_is_refused_by_the_holders_label() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    let hold = house
        .images
        .hold(&id, "container 0123456789ab", Use::Stopped)
        .unwrap();
    let short = id.short();
    assert_eq!(
        remove(&house, "web:1").await.unwrap_err().to_string(),
        format!(
            "conflict: unable to remove repository reference \"web:1\" (must force) - container 0123456789ab is using its referenced image {short}"
        )
    );
    assert_eq!(
        remove(&house, short).await.unwrap_err().to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    hold.set_use(Use::Running);
    assert_eq!(
        remove_with(&house, short, FORCE).await.unwrap_err().to_string(),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container 0123456789ab"
        )
    );
    // The last name goes by force, the image stays as long as it runs.
    assert_eq!(
        remove_with(&house, "web:1", FORCE).await.unwrap(),
        ["Untagged: web:1"]
    );
    assert_eq!(house.images.get(&id).unwrap().containers, 1);
    drop(hold);
    assert_eq!(remove(&house, short).await.unwrap()[0], format!("Deleted: {id}"));
}

#[tokio::test]
async fn a_forced_removal_under_a_stopped_container_keeps_the_layers_until_it_is_gone() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    let layer = house.images.create_container_layer("c0ffee", &id).await.unwrap();
    let hold = house.images.hold(&id, "container c0ffee", Use::Stopped).unwrap();
    assert_eq!(
        remove_with(&house, "web:1", FORCE).await.unwrap(),
        ["Untagged: web:1".to_owned(), format!("Deleted: {id}")]
    );
    assert_eq!(house.images.usage().layers, 1);
    house
        .images
        .container_recipe("c0ffee")
        .unwrap()
        .mount_detached()
        .unwrap();
    drop(hold);
    let house = house.reopen().await;
    house.images.adopt_container_layer(&layer).unwrap();
    house.images.sweep().await.unwrap();
    house
        .images
        .container_recipe("c0ffee")
        .unwrap()
        .mount_detached()
        .unwrap();
    house.images.remove_container_layer("c0ffee").await.unwrap();
    assert_eq!(house.on_disk(), (vec![], vec![]));
    house.images.sweep().await.unwrap();
    let driver = storage_drivers::open("overlay", house.dir.path()).unwrap();
    assert_eq!(driver.list().unwrap(), []);
}

#[tokio::test]
async fn a_parent_stays_while_it_has_children_and_goes_with_the_last_of_them() {
    if !is_root() {
        return;
    }
    let (house, base) = house_with("base:1").await;
    let container = "c1";
    house
        .images
        .create_container_layer(container, &base)
        .await
        .unwrap();
    let options = CommitOptions {
        changes: vec!["ENV A=b".to_owned()],
        created_by: "sh".to_owned(),
        reference: Some(("child".to_owned(), String::new())),
        ..CommitOptions::default()
    };
    let child = house.images.commit(container, options).await.unwrap();
    house.images.remove_container_layer(container).await.unwrap();
    assert_eq!(child.parent, Some(base.clone()));
    assert_eq!(child.repo_tags, ["child:latest"]);
    assert_eq!(child.config.config.env, ["A=b"]);
    assert!(
        child.config.history.last().unwrap().empty_layer,
        "nothing was changed in the container"
    );
    let error = remove_with(&house, base.short(), FORCE)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("(cannot be forced) - image has dependent child images"),
        "{error}"
    );
    // Its name can be taken away; it stays as its child's parent.
    let removed = remove(&house, "base:1").await.unwrap();
    assert_eq!(removed, ["Untagged: base:1"]);
    assert_eq!(house.images.count(), 2);
    let removed = remove(&house, "child").await.unwrap();
    assert_eq!(removed.len(), 4, "{removed:?}");
    assert_eq!(house.images.count(), 0);
}

#[tokio::test]
async fn lists_are_filtered_and_shown_as_docker_does() {
    if !is_root() {
        return;
    }
    let (house, old) = house_with("web:1").await;
    let source = std::io::Cursor::new(tar(&[("new", b"12345")]));
    let options = ImportOptions {
        changes: vec!["LABEL a=b".to_owned(), "CMD [\"new\"]".to_owned()],
        message: "a note".to_owned(),
        ..ImportOptions::default()
    };
    let (progress, _) = support::collected();
    let new = house.images.import(source, options, progress).await.unwrap();
    let list = |json: &str| -> Vec<_> {
        let filters = Filters::parse(json).unwrap();
        house
            .images
            .list(false, &filters)
            .unwrap()
            .into_iter()
            .map(|image| image.id)
            .collect()
    };
    assert_eq!(list("{}"), [new.id.clone(), old.clone()]);
    assert_eq!(list(r#"{"dangling":["true"]}"#), std::slice::from_ref(&new.id));
    assert_eq!(list(r#"{"dangling":["false"]}"#), std::slice::from_ref(&old));
    assert_eq!(list(r#"{"reference":["w*"]}"#), std::slice::from_ref(&old));
    assert_eq!(list(r#"{"reference":["w*:2"]}"#), []);
    assert_eq!(list(r#"{"label":["a=b"]}"#), std::slice::from_ref(&new.id));
    assert_eq!(
        list(&format!(r#"{{"since":["{}"]}}"#, old.short())),
        std::slice::from_ref(&new.id)
    );
    assert_eq!(
        list(&format!(r#"{{"before":["{}"]}}"#, new.id.short())),
        std::slice::from_ref(&old)
    );
    assert_eq!(list(r#"{"until":["1h"]}"#), std::slice::from_ref(&old));
    assert_eq!(list(r#"{"until":["2024-01-01"]}"#), []);
    let refuse = |json: &str| {
        house
            .images
            .list(false, &Filters::parse(json).unwrap())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refuse(r#"{"nope":["x"]}"#), "invalid filter 'nope'");
    assert_eq!(refuse(r#"{"reference":["["]}"#), "syntax error in pattern");
    assert_eq!(refuse(r#"{"before":["nope"]}"#), "No such image: nope:latest");

    let summary = &house.images.summaries(false, &Filters::default(), true).unwrap()[0];
    assert_eq!(
        (summary.size, summary.shared_size, summary.repo_tags.len()),
        (5, 0, 0)
    );
    let inspect = house.images.inspect(new.id.short()).unwrap();
    assert_eq!(
        (
            inspect.comment.as_str(),
            inspect.os.as_str(),
            inspect.architecture.as_str()
        ),
        ("a note", "linux", "amd64")
    );
    assert_eq!(inspect.config.cmd, Some(vec!["new".to_owned()]));
    assert_eq!(inspect.graph_driver.name, house.images.driver_name());
    let history = house.images.history("web:1").unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].created_by.as_str(), history[0].size), ("step 0", 1));
    assert_eq!(history[0].tags, Some(vec!["web:1".to_owned()]));
}

#[tokio::test]
async fn prune_takes_unnamed_images_and_with_all_those_that_nobody_holds() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    house
        .load(Archive::new("other:1", vec![tar(&[("other", b"12345678")])]).legacy())
        .await
        .unwrap();
    house
        .load(Archive::new("", vec![tar(&[("dangling", b"1234")])]).legacy())
        .await
        .unwrap();
    let hold = house.images.hold(&id, "container c", Use::Stopped).unwrap();
    let report = house.images.prune(&Filters::default()).await.unwrap();
    assert_eq!(report.space_reclaimed, 4);
    assert_eq!(report.images_deleted.unwrap().len(), 2);
    assert_eq!(house.images.count(), 2);
    let report = house
        .images
        .prune(&Filters::parse(r#"{"dangling":["false"]}"#).unwrap())
        .await
        .unwrap();
    assert_eq!(report.space_reclaimed, 8);
    assert_eq!(house.images.count(), 1);
    drop(hold);
}

#[tokio::test]
async fn events_tell_what_happened_to_images() {
    if !is_root() {
        return;
    }
    let (house, id) = house_with("web:1").await;
    house.images.tag("web:1", "web", "2").await.unwrap();
    house.images.remove(id.short(), FORCE).await.unwrap();
    let until = Some(i64::MAX - 1);
    let mut events = house
        .events
        .subscribe(Some(0), until, Filters::default())
        .unwrap();
    let mut actions = Vec::new();
    while actions.len() < 5 {
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind.as_str(), event.actor.id.as_str()),
            ("image", id.to_string().as_str())
        );
        actions.push(format!("{} {}", event.action, event.actor.attributes["name"]));
    }
    let id = id.to_string();
    let expected = [
        format!("load {id}"),
        "tag web:2".to_owned(),
        format!("untag {id}"),
        format!("untag {id}"),
        format!("delete {id}"),
    ];
    assert_eq!(actions, expected);
}
