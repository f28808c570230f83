use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Boat {
    mast: u32,
}

impl Row for Boat {
    const TABLE: &'static str = "boats";
    const VERSION: u32 = 1;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ship {
    masts: Vec<u32>,
}

impl Row for Ship {
    const TABLE: &'static str = "boats";
    const VERSION: u32 = 2;

    fn upgrade(version: u32, row: serde_json::Value) -> Option<serde_json::Value> {
        (version == 1).then(|| serde_json::json!({ "masts": [row["mast"]] }))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Crew(String);

impl Row for Crew {
    const TABLE: &'static str = "crews";
    const VERSION: u32 = 1;
}

#[test]
fn rows_survive_a_reopening_and_only_committed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    {
        let scope = Store::open(&path).unwrap().scope("harbour");
        let boats = scope.table::<Boat>().unwrap();
        let tx = scope.transaction().put(&boats, "b", &Boat { mast: 2 });
        tx.insert(&boats, "a", &Boat { mast: 1 }).commit().wait().unwrap();
        drop(scope.transaction().put(&boats, "never", &Boat { mast: 9 }));
        scope.transaction().delete(&boats, "b").commit().wait().unwrap();
        assert_eq!(boats.len(), 1);
    }
    let scope = Store::open(&path).unwrap().scope("harbour");
    let boats = scope.table::<Boat>().unwrap();
    assert_eq!(boats.all().len(), 1);
    assert_eq!(*boats.get("a").unwrap(), Boat { mast: 1 });
}

#[test]
fn a_transaction_over_two_services_happens_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.redb")).unwrap();
    let (harbour, office) = (store.scope("harbour"), store.scope("office"));
    let boats = harbour.table::<Boat>().unwrap();
    let crews = office.table::<Crew>().unwrap();
    let both = |mast| {
        let tx = harbour.transaction().put(&boats, "a", &Boat { mast });
        tx.insert(&crews, "a", &Crew("three".into())).commit().wait()
    };
    both(1).unwrap();
    let refused = both(2).unwrap_err();
    assert!(matches!(&refused, StoreError::Exists { table, key } if table == "office/crews" && key == "a"));
    assert_eq!(boats.get("a").unwrap().mast, 1);
}

#[test]
fn one_refused_transaction_does_not_harm_others_of_the_same_commit() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Store::open(&dir.path().join("state.redb"))
        .unwrap()
        .scope("harbour");
    let boats = scope.table::<Boat>().unwrap();
    let commits: Vec<Commit> = (0..50)
        .map(|n| {
            let key = format!("{}", n / 2);
            scope
                .transaction()
                .insert(&boats, &key, &Boat { mast: n })
                .commit()
        })
        .collect();
    let refused = commits
        .into_iter()
        .filter(|_| true)
        .map(Commit::wait)
        .filter(Result::is_err);
    assert_eq!(refused.count(), 25);
    assert_eq!(boats.len(), 25);
    assert!((0..25).all(|n| boats.get(&n.to_string()).unwrap().mast == n * 2));
}

#[test]
fn concurrent_transactions_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Store::open(&dir.path().join("state.redb"))
        .unwrap()
        .scope("harbour");
    let boats = scope.table::<Boat>().unwrap();
    let put = |name: String| scope.transaction().put(&boats, &name, &Boat { mast: 1 }).commit();
    let figures = |round: u32| {
        let start = Instant::now();
        for n in 0..20 {
            put(format!("x{round}-{n}")).wait().unwrap();
        }
        let alone = start.elapsed();
        let start = Instant::now();
        let commits: Vec<_> = (0..400).map(|n| put(format!("y{round}-{n}"))).collect();
        for commit in commits {
            commit.wait().unwrap();
        }
        (start.elapsed(), alone)
    };
    // One by one, four hundred take twenty times as long as twenty. What else the machine does may disturb a round.
    let mut rounds = (0..20).map(figures);
    assert!(
        rounds.any(|(together, alone)| together < alone * 10),
        "four hundred at once take as long as one by one"
    );
}

#[test]
fn an_old_row_is_upgraded_and_a_newer_one_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    {
        let scope = Store::open(&path).unwrap().scope("harbour");
        let boats = scope.table::<Boat>().unwrap();
        scope
            .transaction()
            .put(&boats, "a", &Boat { mast: 7 })
            .commit()
            .wait()
            .unwrap();
    }
    {
        let scope = Store::open(&path).unwrap().scope("harbour");
        let ships = scope.table::<Ship>().unwrap();
        assert_eq!(ships.get("a").unwrap().masts, [7]);
        scope
            .transaction()
            .put(&ships, "a", &Ship { masts: vec![] })
            .commit()
            .wait()
            .unwrap();
    }
    let scope = Store::open(&path).unwrap().scope("harbour");
    let error = scope.table::<Boat>().unwrap_err().to_string();
    assert!(
        error.contains("\"a\" of table harbour/boats has version 2"),
        "{error}"
    );
}

#[test]
fn a_dump_restores_every_row_and_the_export_appears_at_close() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("state.redb"), dir.path().join("copy.redb"));
    let mut dumped = Vec::new();
    {
        let store = Store::open(&path).unwrap();
        let scope = store.scope("harbour");
        let (boats, crews) = (scope.table::<Boat>().unwrap(), scope.table::<Crew>().unwrap());
        let tx = scope.transaction().put(&boats, "a\"b", &Boat { mast: 1 });
        tx.put(&crews, "c", &Crew("\u{1}é".into()))
            .commit()
            .wait()
            .unwrap();
        dump(&store, &mut dumped).unwrap();
    }
    assert_eq!(std::fs::read(dir.path().join("state.json")).unwrap(), dumped);
    restore(&copy, &mut dumped.as_slice()).unwrap();
    let scope = Store::open(&copy).unwrap().scope("harbour");
    assert_eq!(scope.table::<Boat>().unwrap().get("a\"b").unwrap().mast, 1);
    assert_eq!(scope.table::<Crew>().unwrap().get("c").unwrap().0, "\u{1}é");
    let error = restore(&path, &mut &b"{\"format\":2,\"tables\":{}}"[..]).unwrap_err();
    assert!(error.to_string().contains("format 2 instead of 1"), "{error}");
}

#[test]
fn a_damaged_file_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("dhowd state restore"), "{error}");
}

#[test]
fn rows_with_a_prefix_are_listed_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Store::open(&dir.path().join("state.redb"))
        .unwrap()
        .scope("harbour");
    let boats = scope.table::<Boat>().unwrap();
    let mut tx = scope.transaction();
    for key in ["a:1", "b:1", "b:2", "b:3", "c:1"] {
        tx = tx.put(&boats, key, &Boat { mast: 1 });
    }
    tx.commit().wait().unwrap();
    let page = |after: &str, limit| -> Vec<String> {
        let rows = boats.with_prefix_after("b:", after, limit);
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(page("", 2), ["b:1", "b:2"]);
    assert_eq!(page("b:2", 9), ["b:3"]);
    assert_eq!(page("b:15", 1), ["b:2"]);
    assert!(page("b:3", 9).is_empty() && page("z", 9).is_empty());
}

/// A disk that can be full, shared by all openings of the file on it.
#[derive(Clone, Debug, Default)]
struct Disk {
    content: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    full: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Disk {
    fn room(&self) -> std::io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.content.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.content.lock().unwrap()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.room()?;
        self.content
            .lock()
            .unwrap()
            .resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.room()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.room()?;
        let start = usize::try_from(offset).unwrap();
        self.content.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn a_full_disk_refuses_changes_only_as_long_as_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let on_disk = disk.clone();
    let open = move || Ok(redb::Database::builder().create_with_backend(on_disk.clone())?);
    let file = file::StateFile::open(open).unwrap();
    let store = Store::on(file, &dir.path().join("state.redb"));
    let scope = store.scope("harbour");
    let boats = scope.table::<Boat>().unwrap();
    let insert = |key: &str| {
        let row = Boat { mast: 1 };
        scope.transaction().insert(&boats, key, &row).commit().wait()
    };
    insert("before").unwrap();
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(insert("during"), Err(StoreError::Commit { .. })));
    }
    assert_eq!(boats.len(), 1);
    disk.full.store(false, Ordering::SeqCst);
    insert("after").unwrap();
    insert("during").unwrap();
    assert!(matches!(insert("before"), Err(StoreError::Exists { .. })));
    let mut text = Vec::new();
    dump(&store, &mut text).unwrap();
    for key in ["before", "during", "after"] {
        assert!(String::from_utf8_lossy(&text).contains(key), "{key}");
    }
}
