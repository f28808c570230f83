//! Measures what `load` and `save` do with one layer: hash, unpack and record it, then rebuild and hash it.
//!
//! `cargo run --release -p blobs --example layer_speed -- DIRECTORY [FILES] [BYTES PER FILE]`: works in a new directory
//! below DIRECTORY and removes it again.
#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use archive::{Entry, Recorder, UnpackOptions, Whiteouts, Writer};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().ok_or("which directory?")?;
    let files = arguments.next().map_or(Ok(4000), |text| text.parse::<u64>())?;
    let size = arguments
        .next()
        .map_or(Ok(80_000), |text| text.parse::<usize>())?;
    let work = Path::new(&base).join(format!("layer-speed-{}", std::process::id()));
    fs::create_dir_all(work.join("root"))?;
    let result = measure(&work, files, size);
    fs::remove_dir_all(&work)?;
    result
}

fn measure(work: &Path, files: u64, size: usize) -> Outcome<()> {
    let path = work.join("layer.tar");
    write_layer(&path, files, size)?;
    let root = File::open(work.join("root"))?;

    println!("before: {}", processor()?);
    let began = Instant::now();
    let mut record = GzEncoder::new(
        BufWriter::new(File::create(work.join("record"))?),
        Compression::fast(),
    );
    let (_, plain) = blobs::decompress(BufReader::with_capacity(1 << 18, File::open(&path)?))?;
    let loaded = blobs::hash_while(plain, |stream| {
        let options = UnpackOptions {
            whiteouts: Whiteouts::Overlay,
            record: Some(Recorder::new(&mut record)),
            ..UnpackOptions::default()
        };
        archive::unpack(stream, root.as_fd(), options)
    })?;
    let stats = loaded.value?;
    record.finish()?.flush()?;
    println!(
        "load: {:?}, {} entries, {} bytes in files; {}",
        began.elapsed(),
        stats.entries,
        stats.size,
        processor()?
    );

    let began = Instant::now();
    let lines = BufReader::with_capacity(
        1 << 16,
        GzDecoder::new(BufReader::new(File::open(work.join("record"))?)),
    );
    let written = archive::rebuild(lines, root.as_fd(), None, File::create(work.join("again.tar"))?)?;
    println!("save: {:?}, {written} bytes; {}", began.elapsed(), processor()?);

    let again = blobs::hash_while(File::open(work.join("again.tar"))?, |_| ())?;
    if again.digest != loaded.digest {
        return Err("the rebuilt layer differs".into());
    }
    Ok(())
}

/// Processor time of this process until now, which a busy machine changes less than the clock (proc_pid_stat(5), in
/// ticks of 10 ms).
fn processor() -> Outcome<String> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let mut fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11);
    let mut next = || fields.next().unwrap_or("0").parse::<u64>();
    Ok(format!(
        "processor: user {} ms, system {} ms",
        next()? * 10,
        next()? * 10
    ))
}

fn write_layer(path: &Path, files: u64, size: usize) -> Outcome<()> {
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for number in 0..files {
        if number % 40 == 0 {
            writer.append_bytes(&Entry::directory(format!("dir{}", number / 40), 0o755), b"")?;
        }
        // Half random, half text: compresses about as programs do.
        let data: Vec<u8> = (0..size)
            .map(|place| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if place % 2 == 0 { (state >> 56) as u8 } else { b'x' }
            })
            .collect();
        let name = format!("dir{}/file{number}", number / 40);
        writer.append_bytes(&Entry::file(name, 0o644, 0), &data)?;
    }
    writer.finish()?;
    Ok(())
}
