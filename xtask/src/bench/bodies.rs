//! Bytes a second, in large answers.

use anyhow::Result;

use super::figures::Figures;
use super::stand::{REFERENCE, Stand, file_script, wrk};

pub(super) fn measure(stand: &Stand, rounds: u32, seconds: u32) -> Result<Vec<Figures>> {
    let script = file_script(&stand.folder)?;
    let mut all = Vec::new();
    for (path, size) in [("/100k", "100 KB"), ("/10m", "10 MB")] {
        let what = format!("answers of {size} on 8 connections");
        let mut figures = Figures::new(what, "MB/s", REFERENCE);
        for round in 0..rounds {
            for target in stand.turns(round) {
                let ran = wrk(target, path, &script, 8, seconds)?;
                figures.add(target.name, ran.bytes / ran.seconds / 1e6);
            }
        }
        all.push(figures);
    }
    Ok(all)
}
