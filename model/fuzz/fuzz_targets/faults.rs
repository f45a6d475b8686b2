//! Any text is a list of faults or is not, and a list that is one can be
//! written down and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_model::fault::Fault;

fuzz_target!(|text: &str| {
    let Ok(faults) = serde_saphyr::from_str::<Vec<Fault>>(text) else { return };
    for fault in faults {
        let written = serde_json::to_string(&fault).expect("a fault can be written");
        let read: Fault = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(read, fault);
    }
});
