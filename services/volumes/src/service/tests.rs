use std::os::unix::process::ExitStatusExt;

use super::*;

fn open(root: &Path) -> Arc<Volumes> {
    std::fs::create_dir_all(root).unwrap();
    let store = durable::Store::open(&root.join("state.redb")).unwrap();
    let events = Arc::new(Events::open(&root.join("events.jsonl")).unwrap());
    Volumes::open(OpenOptions {
        data_root: root.to_path_buf(),
        tables: store.scope("volumes"),
        events,
    })
    .unwrap()
}

fn named(name: &str) -> CreateOptions {
    CreateOptions {
        name: name.to_owned(),
        ..CreateOptions::default()
    }
}

fn filters(json: &str) -> Filters {
    Filters::parse(json).unwrap()
}

fn names(volumes: &Volumes, json: &str) -> Vec<String> {
    volumes
        .list(&filters(json))
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect()
}

#[tokio::test]
async fn creating_a_volume_twice_gives_the_same_volume_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let first = volumes
        .create(CreateOptions {
            labels,
            ..named("data")
        })
        .await
        .unwrap();
    std::fs::write(first.mountpoint.join("f"), "x").unwrap();
    assert_eq!(volumes.create(named("data")).await.unwrap(), first);
    drop(volumes);
    let volumes = open(dir.path());
    assert_eq!(volumes.inspect("data").unwrap(), first);
    assert!(first.mountpoint.join("f").exists());
    assert!(!first.is_anonymous());
}

#[tokio::test]
async fn a_volume_without_name_is_anonymous_with_64_digits() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let volume = volumes.create(CreateOptions::default()).await.unwrap();
    assert!(volume.is_anonymous());
    assert!(volume.name.len() == 64 && volume.name.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[tokio::test]
async fn removing_a_held_volume_is_refused_with_the_owners_ids() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let (_, first) = volumes.create_held(named("data"), "c1").await.unwrap();
    let second = volumes.hold("data", "c2").unwrap();
    let again = volumes.hold("data", "c2").unwrap();
    for force in [false, true] {
        let error = volumes.remove("data", force).await.unwrap_err();
        assert_eq!(error.to_string(), "remove data: volume is in use - [c1, c2]");
        assert_eq!(fault::Fault::kind(&error), fault::Kind::Conflict);
    }
    drop((first, second));
    assert!(volumes.remove("data", false).await.is_err());
    drop(again);
    volumes.remove("data", false).await.unwrap();
    let error = volumes.remove("data", false).await.unwrap_err();
    assert_eq!(error.to_string(), "get data: no such volume");
    volumes.remove("data", true).await.unwrap();
    assert_eq!(
        volumes.hold("data", "c").unwrap_err().to_string(),
        "get data: no such volume"
    );
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_dockers_words_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let error = volumes.create(named("a")).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "create a: volume name is too short, names should be at least two alphanumeric characters"
    );
    let driver = "nope".to_owned();
    let error = volumes
        .create(CreateOptions {
            driver,
            ..named("data")
        })
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "create data: error looking up volume plugin nope: plugin \"nope\" not found"
    );
    assert_eq!(std::fs::read_dir(dir.path().join("volumes")).unwrap().count(), 0);
}

#[tokio::test]
async fn lists_are_filtered_and_prune_takes_what_nobody_holds() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let anonymous = volumes.create(CreateOptions::default()).await.unwrap();
    std::fs::write(anonymous.mountpoint.join("f"), vec![0; 1000]).unwrap();
    let labels = BTreeMap::from([("keep".to_owned(), String::new())]);
    volumes
        .create(CreateOptions {
            labels,
            ..named("kept")
        })
        .await
        .unwrap();
    volumes.create(named("other")).await.unwrap();
    let (_, hold) = volumes.create_held(named("held"), "c").await.unwrap();
    assert_eq!(names(&volumes, r#"{"dangling":["false"]}"#), ["held"]);
    assert_eq!(names(&volumes, r#"{"name":["e"],"label":["keep"]}"#), ["kept"]);
    assert_eq!(names(&volumes, r#"{"driver":["nope"]}"#), [""; 0]);
    let error = volumes.list(&filters(r#"{"x":["y"]}"#)).unwrap_err().to_string();
    assert_eq!(error, "invalid filter 'x'");

    let report = volumes.prune(&Filters::default()).await.unwrap();
    assert_eq!(report.volumes_deleted, [anonymous.name]);
    assert_eq!(report.space_reclaimed, 1000);
    let report = volumes
        .prune(&filters(r#"{"all":["true"],"label!":["keep"]}"#))
        .await
        .unwrap();
    assert_eq!(report.volumes_deleted, ["other"]);
    assert_eq!(names(&volumes, "{}"), ["held", "kept"]);
    drop(hold);
    let usage = volumes.usage().await.unwrap();
    assert!(
        usage
            .iter()
            .all(|(_, usage)| usage.ref_count == 0 && usage.size == 0)
    );
}

#[tokio::test]
async fn many_creations_and_removals_of_one_name_at_once_end_in_one_state() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = open(dir.path());
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let volumes = Arc::clone(&volumes);
            tokio::spawn(async move {
                if n % 2 == 0 {
                    let (volume, hold) = volumes.create_held(named("data"), "c").await.unwrap();
                    assert!(volume.mountpoint.exists(), "a held volume is there");
                    drop(hold);
                } else {
                    let _ = volumes.remove("data", true).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let on_disk = dir.path().join("volumes/data").exists();
    assert_eq!(volumes.inspect("data").is_ok(), on_disk);
    assert_eq!(
        std::fs::read_dir(dir.path().join("volumes")).unwrap().count(),
        usize::from(on_disk)
    );
}

#[tokio::test]
async fn a_directory_without_row_is_taken_in_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("volumes/precious/_data")).unwrap();
    std::fs::create_dir_all(dir.path().join("volumes/not-a-volume")).unwrap();
    let volumes = open(dir.path());
    assert_eq!(names(&volumes, "{}"), ["precious"]);
    volumes.inspect("precious").unwrap();
}

/// Runs as a child of [`a_kill_at_any_point_leaves_a_whole_volume_or_none`]; does nothing otherwise.
#[tokio::test]
async fn child_that_is_killed() {
    let Some(root) = std::env::var_os("DHOW_TEST_VOLUMES_ROOT") else {
        return;
    };
    let volumes = open(Path::new(&root));
    volumes.create(named("data")).await.unwrap();
    volumes.remove("data", false).await.unwrap();
}

#[test]
fn a_kill_at_any_point_leaves_a_whole_volume_or_none() {
    let points = [
        ("volumes.create.claimed", false),
        ("volumes.create.recorded", true),
        ("volumes.create.made", true),
        ("volumes.remove.begun", true),
        ("volumes.remove.forgotten", true),
        ("volumes.remove.removed", false),
    ];
    for (point, there) in points {
        let dir = tempfile::tempdir().unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "service::tests::child_that_is_killed"])
            .env("DHOW_TEST_VOLUMES_ROOT", dir.path())
            .env("DHOW_CRASH_AT", point)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(9), "{point} was reached");
        let volumes = open(dir.path());
        assert_eq!(volumes.inspect("data").is_ok(), there, "{point}");
        let entries = std::fs::read_dir(dir.path().join("volumes")).unwrap().count();
        assert_eq!(entries, usize::from(there), "{point}");
        if there {
            assert!(volumes.inspect("data").unwrap().mountpoint.is_dir(), "{point}");
        }
    }
}
