//! Prints what the scanner finds in files: `scan FILE...`, a line of JSON for each finding.

use std::{env, error::Error, fs::File};

use modelkeep_inspect::{Disk, Limits, danger};

fn main() -> Result<(), Box<dyn Error>> {
    for path in env::args().skip(1) {
        let bytes = Disk::new(File::open(&path)?)?;
        for finding in danger::scan(&path, &bytes, &Limits::default())? {
            println!("{}", serde_json::to_string(&finding)?);
        }
    }
    Ok(())
}
