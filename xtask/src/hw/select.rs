//! Which machines a command boots: the manifest's, or the one that its options name.

use anyhow::{Result, ensure};

use super::Options;
use super::manifest::{Boot, Firmware, Manifest};

/// The processor model when only the number of cores is given.
const MODEL: &str = "max";
/// Cores when only the processor model is given.
const CPUS: u32 = 2;

/// The manifest's boots; or the one machine that the options name, as the groups have it that are for
/// everything or for what the options filter.
pub fn select(manifest: &Manifest, options: &Options) -> Result<Vec<Boot>> {
    let filter = options.filter.as_ref().or(options.names.as_ref());
    let firmware = options.efi.then_some(Firmware::Edk2);
    let mut boots = match (options.cpus, &options.cpu) {
        (None, None) => manifest.boots()?,
        (cpus, model) => {
            let (cpus, model) = (cpus.unwrap_or(CPUS), model.as_deref().unwrap_or(MODEL));
            ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
            let wanted = filter.map_or("", String::as_str);
            let mut boots = Vec::new();
            for group in &manifest.group {
                let fits = group.has(cpus, model) && group.firmware.is_some() == options.efi;
                if fits && group.is_for(wanted) {
                    boots.push(group.boot(cpus, model)?);
                }
            }
            if boots.is_empty() {
                boots.push(Boot {
                    firmware,
                    ..manifest.any_machine(cpus, model)?
                });
            }
            boots
        }
    };
    boots.retain(|boot| boot.firmware.is_some() || !options.efi);
    if let Some(filter) = filter {
        for boot in &mut boots {
            boot.filter.clone_from(filter);
            boot.is_exact = options.exact;
        }
    }
    Ok(boots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const TEXT: &str = r#"
        [[group]]
        name = "all"
        filter = ""
        cpus = [1, 2]
        models = ["max", "cortex-a72"]
        mem = "1G"
        timeout_s = 60
        [[group]]
        name = "many"
        filter = "cores::,memory::"
        cpus = [64]
        models = ["max"]
        mem = "2G"
        timeout_s = 600
        [[group]]
        name = "absent-ram"
        filter = "absent::"
        cpus = [2, 64]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        absent_ram = true
    "#;

    /// Names and filters of the boots.
    fn selected(cpus: u32, filter: &str) -> Vec<(String, String)> {
        let manifest = Manifest::parse(TEXT).unwrap();
        let boots = select(&manifest, &options(cpus, filter)).unwrap();
        boots
            .into_iter()
            .map(|boot| (boot.name, boot.filter))
            .collect()
    }

    fn options(cpus: u32, filter: &str) -> Options {
        Options {
            names: None,
            filter: (!filter.is_empty()).then(|| filter.into()),
            cpus: Some(cpus),
            exact: false,
            efi: false,
            cpu: None,
            seed: 1,
            repeat: 1,
            icount: false,
            json: None,
            junit: None,
            mutant: None,
        }
    }

    #[test]
    fn a_machine_alone_runs_everything() {
        for (cpus, name) in [
            (2, "all-2-max"),
            // Groups for some of the tests are not asked.
            (64, "many-64-max"),
            (3, "many-3-max"),
            (100, "many-100-max"),
        ] {
            assert_eq!(selected(cpus, ""), [(name.into(), String::new())]);
        }
    }

    #[test]
    fn a_filter_finds_the_machines_that_are_for_it() {
        let names = |cpus, filter| -> Vec<String> {
            let boots = selected(cpus, filter).into_iter();
            boots
                .inspect(|boot| assert_eq!(boot.1, filter))
                .map(|boot| boot.0)
                .collect()
        };
        assert_eq!(names(2, "cores::up"), ["all-2-max"]);
        assert_eq!(names(2, "absent::list"), ["all-2-max", "absent-ram-2-max"]);
        assert_eq!(names(64, "a::b,memory::x"), ["many-64-max"]);
        assert_eq!(names(5, "absent::list"), ["many-5-max"]);
    }

    #[test]
    fn every_number_of_cores_has_a_machine_with_all_its_ram() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = Manifest::load(root).unwrap();
        for cpus in [1, 2, 3, 4, 8, 16, 64, 100, 192, 512] {
            for boot in select(&manifest, &options(cpus, "")).unwrap() {
                assert!(!boot.absent_ram && boot.filter.is_empty(), "{cpus}");
            }
        }
    }
}
