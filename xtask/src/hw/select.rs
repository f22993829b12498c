//! Which machines a command boots: the manifest's, or the one that its options name.

use anyhow::{Context, Result, ensure};

use super::Options;
use super::manifest::{Boot, Firmware, Manifest};

/// The processor model when only the number of cores is given.
const MODEL: &str = "max";
/// Cores when only the processor model is given.
const CPUS: u32 = 2;

/// Do these options leave out no machine?
pub fn are_all_machines(options: &Options) -> bool {
    options.cpus.is_none() && options.cpu.is_none() && options.group.is_none() && !options.efi
}

/// The manifest's boots; or those of the group that the options name; or the one machine that they name, as the
/// groups have it that are for everything or for what the options filter.
pub fn select(manifest: &Manifest, options: &Options) -> Result<Vec<Boot>> {
    let filter = options.filter.as_ref().or(options.names.as_ref());
    let machine = match (options.cpus, options.cpu.as_deref()) {
        (None, None) => None,
        (cpus, model) => Some((cpus.unwrap_or(CPUS), model.unwrap_or(MODEL))),
    };
    if let Some((cpus, _)) = machine {
        ensure!((1..=512).contains(&cpus), "--cpus {cpus}: 1 to 512 can be");
    }
    let mut boots = match (&options.group, machine) {
        (Some(name), machine) => of_group(manifest, name, machine)?,
        (None, None) => manifest.boots()?,
        (None, Some((cpus, model))) => {
            let wanted = filter.map_or("", String::as_str);
            of_machine(manifest, cpus, model, wanted, options.efi)?
        }
    };
    if options.efi && options.group.is_some() {
        for boot in &mut boots {
            boot.firmware = boot.firmware.or(Some(Firmware::Edk2));
        }
    }
    boots.retain(|boot| boot.firmware.is_some() || !options.efi);
    if let Some(filter) = filter {
        for boot in &mut boots {
            boot.narrow(filter, options.exact);
        }
    }
    Ok(boots)
}

/// The boots of a group, on its own machines or on this one.
fn of_group(manifest: &Manifest, name: &str, machine: Option<(u32, &str)>) -> Result<Vec<Boot>> {
    let names = || -> Vec<&str> { manifest.group.iter().map(|group| &*group.name).collect() };
    let mut groups = manifest.group.iter();
    let group = groups
        .find(|group| group.name == name)
        .with_context(|| format!("--group {name}: {:?} are there", names()))?;
    match machine {
        Some((cpus, model)) => Ok(vec![group.boot(cpus, model)?]),
        None => group.boots(),
    }
}

/// The boots of a machine with these. A machine that is out of the ordinary stands in for no other: it is one more
/// where what is wanted is what it is made for, and the only one where that is all.
fn of_machine(
    manifest: &Manifest,
    cpus: u32,
    model: &str,
    wanted: &str,
    efi: bool,
) -> Result<Vec<Boot>> {
    let groups = || {
        let groups = manifest.group.iter();
        groups.filter(|group| group.has(cpus, model) && group.is_for(wanted))
    };
    if efi {
        let by_firmware = groups().filter(|group| group.firmware.is_some());
        let boots: Vec<Boot> = by_firmware
            .map(|group| group.boot(cpus, model))
            .collect::<Result<_>>()?;
        if !boots.is_empty() {
            return Ok(boots);
        }
        return Ok(vec![Boot {
            firmware: Some(Firmware::Edk2),
            ..manifest.any_machine(cpus, model)?
        }]);
    }
    let mut boots = Vec::new();
    for group in groups().filter(|group| group.is_ordinary()) {
        boots.push(group.boot(cpus, model)?);
    }
    let is_special = |want: &str| groups().any(|group| group.is_made_for(want));
    if boots.is_empty() && !wanted.split(',').all(is_special) {
        boots.push(manifest.any_machine(cpus, model)?);
    }
    for group in groups().filter(|group| !group.is_ordinary() && group.firmware.is_none()) {
        if wanted.split(',').any(|want| group.is_made_for(want)) {
            boots.push(group.boot(cpus, model)?);
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
        must_run = ["absent::"]
        [[group]]
        name = "again"
        filter = "memory::"
        cpus = [5, 64]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        replayed = true
        [[group]]
        name = "efi"
        filter = ""
        cpus = [2]
        models = ["max"]
        mem = "1G"
        timeout_s = 60
        firmware = "edk2-tree"
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
            group: None,
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
        // Out of the ordinary, and made for nothing that is wanted, or for all of it.
        assert_eq!(names(5, "memory::x"), ["many-5-max"]);
        assert_eq!(names(64, "absent::list"), ["absent-ram-64-max"]);
        let both = ["many-64-max", "absent-ram-64-max"];
        assert_eq!(names(64, "absent::list,b::c"), both);
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        let manifest = Manifest::parse(TEXT).unwrap();
        let named = |group: &str, change: fn(&mut Options)| {
            let mut options = options(2, "");
            (options.cpus, options.group) = (None, Some(group.into()));
            change(&mut options);
            select(&manifest, &options)
        };
        let names = |boots: Result<Vec<Boot>>| -> Vec<String> {
            boots.unwrap().into_iter().map(|boot| boot.name).collect()
        };
        assert_eq!(
            names(named("again", |_| ())),
            ["again-5-max", "again-64-max"]
        );
        let one = named("again", |options| options.cpus = Some(7)).unwrap();
        assert_eq!(one[0].name, "again-7-max");
        assert!(one[0].is_replayed && one[0].machine.icount && one[0].filter == "memory::");
        assert!(named("agai", |_| ()).is_err());
        let tree = named("efi", |options| options.efi = true).unwrap();
        assert_eq!(tree[0].firmware, Some(Firmware::Edk2Tree));
        let efi = named("all", |options| options.efi = true).unwrap();
        assert!(efi.iter().all(|boot| boot.firmware == Some(Firmware::Edk2)));
    }

    #[test]
    fn what_a_machine_must_run_is_what_is_asked_of_it() {
        let manifest = Manifest::parse(TEXT).unwrap();
        let must_run = |filter| {
            let mut options = options(2, filter);
            options.group = Some("absent-ram".into());
            select(&manifest, &options).unwrap()[0].must_run.len()
        };
        assert_eq!(must_run("absent::list,b::c"), 1);
        assert_eq!(must_run("b::c"), 0);
        assert_eq!(must_run(""), 1);
    }

    #[test]
    fn every_number_of_cores_has_a_machine_with_all_its_ram() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = Manifest::load(root).unwrap();
        for cpus in [1, 2, 3, 4, 8, 16, 64, 100, 192, 512] {
            for boot in select(&manifest, &options(cpus, "")).unwrap() {
                let is_whole = !boot.absent_ram && boot.late.is_none() && !boot.is_replayed;
                assert!(is_whole && boot.filter.is_empty(), "{cpus}");
            }
        }
    }
}
