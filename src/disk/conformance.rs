//! One suite that holds both disks to the contract of `Disk` and `DiskFile`.

use std::path::Path;
use std::sync::Arc;

use super::{Disk, Error, MemoryDisk, OsDisk};

fn on_both(law: impl Fn(&dyn Disk)) {
    law(&MemoryDisk::new());
    let folder = tempfile::tempdir().unwrap();
    law(&OsDisk::new(folder.path()).unwrap());
}

#[test]
fn a_created_file_is_zeros_of_its_size_and_exists_once() {
    on_both(|disk| {
        let file = disk.create(Path::new("a/b/file"), 70_000).unwrap();
        assert_eq!(file.size_bytes(), 70_000);
        assert!(file.copy(0..70_000).iter().all(|byte| *byte == 0));
        assert!(disk.create(Path::new("a/b/file"), 1).is_err());
        assert!(disk.open(Path::new("a/b/other")).is_err());
    });
}

#[test]
fn a_write_shows_at_once_in_every_reader_of_the_file() {
    on_both(|disk| {
        let file = disk.create(Path::new("file"), 4096).unwrap();
        let again = disk.open(Path::new("file")).unwrap();
        file.write_at(510, b"timber").unwrap();
        assert_eq!(&file.slice(510..516)[..], b"timber");
        assert_eq!(again.copy(509..517), b"\0timber\0");
        assert_eq!(again.size_bytes(), 4096);
    });
}

#[test]
fn a_slice_outlives_its_file_and_the_files_removal() {
    on_both(|disk| {
        let file = disk.create(Path::new("folder/file"), 4096).unwrap();
        file.write_at(0, b"kept").unwrap();
        let slice = file.slice(0..4);
        disk.remove(Path::new("folder")).unwrap();
        drop(file);
        assert_eq!(&slice[..], b"kept");
        assert!(disk.open(Path::new("folder/file")).is_err());
        assert!(disk.remove(Path::new("folder")).is_err());
    });
}

#[test]
fn names_are_listed_sorted_and_an_absent_folder_is_empty() {
    on_both(|disk| {
        for path in ["shards/10/b", "shards/9/a", "shards/10/a"] {
            disk.create(Path::new(path), 1).unwrap();
        }
        let names = |folder| disk.list(Path::new(folder)).unwrap();
        assert_eq!(names("shards"), [Path::new("10"), Path::new("9")]);
        assert_eq!(names("shards/10"), [Path::new("a"), Path::new("b")]);
        assert!(names("absent").is_empty());
    });
}

#[test]
fn a_small_file_is_replaced_whole() {
    on_both(|disk| {
        let path = Path::new("meta/identity");
        assert_eq!(disk.read(path).unwrap(), None);
        disk.replace(path, b"long content").unwrap();
        disk.replace(path, b"short").unwrap();
        assert_eq!(disk.read(path).unwrap().unwrap(), b"short");
        assert_eq!(disk.list(Path::new("meta")).unwrap().len(), 1);
    });
}

#[test]
fn a_renamed_file_takes_the_place_of_another_whose_slices_stay() {
    on_both(|disk| {
        let (from, to) = (Path::new("repair/file"), Path::new("shards/file"));
        let old = disk.create(to, 4096).unwrap();
        old.write_at(0, b"old").unwrap();
        let new = disk.create(from, 8192).unwrap();
        new.write_at(0, b"new").unwrap();
        new.sync().unwrap();
        let slice = old.slice(0..3);
        disk.rename(from, to).unwrap();
        let found = disk.open(to).unwrap();
        assert_eq!((found.size_bytes(), found.copy(0..3)), (8192, b"new".to_vec()));
        new.write_at(0, b"yet").unwrap();
        assert_eq!((found.copy(0..3), &slice[..]), (b"yet".to_vec(), &b"old"[..]));
        assert!(disk.open(from).is_err() && disk.rename(from, to).is_err());
        assert!(disk.rename(Path::new("shards"), Path::new("other")).is_err(), "a folder is not a file");
        disk.rename(to, Path::new("made/for/it")).unwrap();
        assert!(disk.list(Path::new("shards")).unwrap().is_empty());
    });
}

#[test]
fn a_rename_is_durable_and_power_that_fails_in_it_leaves_the_old_file() {
    for operations in 0..2 {
        let disk = MemoryDisk::new();
        let (from, to) = (Path::new("new"), Path::new("file"));
        disk.create(to, 512).unwrap();
        let file = disk.create(from, 512).unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync().unwrap();
        disk.fail_power_after(Some(operations));
        assert_eq!(disk.rename(from, to).is_ok(), operations == 1);
        disk.lose_unsynced();
        let expected: &[u8] = if operations == 1 { b"new" } else { &[0; 3] };
        assert_eq!(disk.open(to).unwrap().copy(0..3), expected);
    }
}

#[test]
fn a_files_start_and_size_are_read_without_opening_it() {
    on_both(|disk| {
        let path = Path::new("file");
        assert!(disk.read_start(path, 8).is_err());
        disk.create(path, 4096).unwrap().write_at(0, b"head").unwrap();
        assert_eq!(disk.read_start(path, 6).unwrap(), (b"head\0\0".to_vec(), 4096));
        assert_eq!(disk.read_start(path, 5000).unwrap().0.len(), 4096);
    });
}

#[test]
fn a_boot_is_one_until_the_power_fails() {
    on_both(|disk| assert_eq!(disk.boot().unwrap(), disk.boot().unwrap()));
    let disk = MemoryDisk::new();
    let before = disk.boot().unwrap();
    disk.power_cut(1);
    assert_ne!(disk.boot().unwrap(), before);
}

#[test]
fn an_unsynced_file_shows_at_once_and_leaves_maps_of_the_older_one_alone() {
    on_both(|disk| {
        let path = Path::new("index");
        disk.write_unsynced(path, b"older and longer").unwrap();
        let older = disk.open(path).unwrap();
        disk.write_unsynced(path, b"newer").unwrap();
        assert_eq!(disk.read(path).unwrap().unwrap(), b"newer");
        assert_eq!(older.copy(0..16), b"older and longer");
        assert_eq!(disk.list(Path::new("")).unwrap().len(), 1);
    });
}

#[test]
fn power_that_fails_tears_an_unsynced_file() {
    let disk = MemoryDisk::new();
    let path = Path::new("index");
    disk.write_unsynced(path, &vec![1; 64 * 512]).unwrap();
    disk.power_cut(3);
    let kept = disk.read(path).unwrap().unwrap().chunks(512).filter(|sector| **sector == [1; 512]).count();
    assert!((10..54).contains(&kept), "{kept} of 64 sectors kept");
}

#[test]
fn syncs_answer_once_per_file() {
    on_both(|disk| {
        let name = |n: usize| format!("file-{n}");
        let files: Vec<_> = (0..20).map(|n| disk.create(Path::new(&name(n)), 64).unwrap()).collect();
        for count in [0, 1, 2, 9, 20] {
            for file in &files {
                file.write_at(0, b"x").unwrap();
            }
            let results = disk.sync(&files[..count]);
            assert_eq!(results.len(), count);
            assert!(results.iter().all(Result::is_ok));
        }
    });
}

#[test]
fn a_folder_is_locked_until_its_guard_is_dropped() {
    on_both(|disk| {
        let held = disk.lock().unwrap();
        assert!(matches!(disk.lock(), Err(Error::Locked { .. })));
        drop(held);
        disk.lock().unwrap();
    });
}

#[test]
fn a_power_cut_keeps_synced_sectors_and_tears_unsynced_ones() {
    let disk = MemoryDisk::new();
    let path = Path::new("file");
    let file = disk.create(path, 64 * 512).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    file.sync().unwrap();
    file.write_at(512, &vec![2; 512 * 63]).unwrap();
    disk.power_cut(42);
    let bytes = disk.open(path).unwrap().copy(0..64 * 512);
    assert!(bytes[..512].iter().all(|byte| *byte == 1));
    let kept = bytes.chunks(512).filter(|sector| sector.iter().all(|byte| *byte == 2)).count();
    let lost = bytes.chunks(512).filter(|sector| sector.iter().all(|byte| *byte == 0)).count();
    assert_eq!(kept + lost, 63);
    assert!(kept > 10 && lost > 10, "{kept} kept, {lost} lost");
}

#[test]
fn a_sync_that_ends_has_waited_for_what_an_earlier_one_still_carries() {
    let disk = MemoryDisk::new();
    let path = Path::new("file");
    let file = disk.create(path, 1024).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    let under_way = disk.begin_sync(vec![Arc::clone(&file)]);
    file.write_at(512, &[2; 512]).unwrap();
    file.sync().unwrap();
    file.write_at(0, &[3; 512]).unwrap();
    assert!(disk.finish_sync(under_way, None).iter().all(Result::is_ok));
    disk.lose_unsynced();
    let bytes = disk.open(path).unwrap().copy(0..1024);
    assert!(bytes[..512].iter().all(|byte| *byte == 1) && bytes[512..].iter().all(|byte| *byte == 2));
}

#[test]
fn what_is_written_while_a_sync_is_under_way_is_not_covered_by_it() {
    let disk = MemoryDisk::new();
    let path = Path::new("file");
    let file = disk.create(path, 512).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    let under_way = disk.begin_sync(vec![Arc::clone(&file)]);
    file.write_at(0, &[2; 512]).unwrap();
    assert!(disk.finish_sync(under_way, None).iter().all(Result::is_ok));
    disk.lose_unsynced();
    assert!(disk.open(path).unwrap().copy(0..512).iter().all(|byte| *byte == 1));
}

#[test]
fn the_pages_of_a_failed_sync_are_clean_and_lost() {
    let disk = MemoryDisk::new();
    let path = Path::new("file");
    let file = disk.create(path, 512).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    let under_way = disk.begin_sync(vec![Arc::clone(&file)]);
    assert!(disk.fail_sync(under_way).iter().all(Result::is_err));
    let again = disk.open(path).unwrap();
    again.sync().unwrap();
    assert_eq!(again.copy(0..1), [1], "the page cache still shows it");
    disk.power_cut(1);
    assert_eq!(disk.open(path).unwrap().copy(0..1), [0], "a later sync did not bring it back");
}

#[test]
fn power_that_fails_within_an_operation_leaves_a_name_that_may_be_empty_or_gone() {
    let (mut empty, mut gone) = (0, 0);
    for seed in 0..32 {
        let disk = MemoryDisk::new();
        let path = Path::new("folder/file");
        disk.fail_power_after(Some(1));
        assert!(disk.create(path, 512).is_err() && disk.is_power_off());
        disk.power_cut(seed);
        match disk.open(path) {
            Ok(file) => empty += u32::from(file.size_bytes() == 0),
            Err(_) => gone += 1,
        }
        disk.create(Path::new("other"), 512).expect("the power is back");
    }
    assert!(empty > 5 && gone > 5 && empty + gone == 32, "{empty} empty, {gone} gone");
}

#[test]
fn a_failed_sync_poisons_the_file_until_it_is_opened_again() {
    let disk = MemoryDisk::new();
    let path = Path::new("file");
    let file = disk.create(path, 512).unwrap();
    disk.fail_syncs(path, true).unwrap();
    assert!(file.sync().is_err());
    disk.fail_syncs(path, false).unwrap();
    assert!(matches!(file.sync(), Err(Error::Poisoned { .. })));
    assert!(matches!(file.write_at(0, b"x"), Err(Error::Poisoned { .. })));
    disk.open(path).unwrap().sync().unwrap();
}

#[test]
fn a_full_disk_refuses_new_files_and_keeps_the_old() {
    let disk = Arc::new(MemoryDisk::new());
    disk.create(Path::new("old"), 600).unwrap();
    disk.set_capacity_bytes(Some(1000));
    assert!(matches!(disk.create(Path::new("new"), 600), Err(Error::NoSpace { .. })));
    assert!(disk.open(Path::new("new")).is_err());
    disk.open(Path::new("old")).unwrap().write_at(0, b"x").unwrap();
}
