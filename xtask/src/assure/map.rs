//! The map of `docs/assurance.md`: which property is shown by what.
//!
//! A row has the property's name in backticks and what it says, where it is stated, what shows it, what ties that to the
//! code, what is assumed, and the command. Each thing in backticks among what shows it and what ties it is evidence
//! that can be tried.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::evidence::Evidence;

const FILE: &str = "docs/assurance.md";
const HEADING: &str = "## Map";
/// Property, stated, shown, tied, assumed, command.
const CELLS: usize = 6;
/// Those with evidence.
const SHOWN: [usize; 2] = [2, 3];

/// A property of the map.
#[derive(Debug)]
pub struct Property {
    pub name: String,
    pub says: String,
    pub shown: Vec<Evidence>,
}

/// Every property.
pub fn load(root: &Path) -> Result<Vec<Property>> {
    let (properties, wrong) = read(root)?;
    ensure!(wrong.is_empty(), "{FILE}: {}", wrong.join("; "));
    Ok(properties)
}

/// What is wrong with this as a piece of evidence, if anything.
pub fn wrong_evidence(root: &Path, text: &str) -> Option<String> {
    Evidence::parse(root, text).err()
}

/// What is wrong with the map, a line each, and how many properties it has.
pub fn check(root: &Path) -> Result<(usize, Vec<String>)> {
    let (properties, wrong) = read(root)?;
    Ok((properties.len(), wrong))
}

fn read(root: &Path) -> Result<(Vec<Property>, Vec<String>)> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("read {FILE}"))?;
    let (mut properties, mut wrong) = (Vec::new(), Vec::new());
    for row in rows(&text) {
        match property(&row, |evidence| Evidence::parse(root, evidence)) {
            Ok(property) => properties.push(property),
            Err(why) => wrong.push(why),
        }
    }
    if properties.is_empty() && wrong.is_empty() {
        wrong.push(format!("{FILE} has no map"));
    }
    Ok((properties, wrong))
}

/// The cells of each row of the map.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let Some((_, section)) = text.split_once(HEADING) else {
        return Vec::new();
    };
    let section = section.split("\n## ").next().unwrap_or(section);
    // Behind the head and the line beneath it.
    section.lines().filter_map(cells).skip(2).collect()
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let line = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(line.split('|').map(str::trim).collect())
}

/// A row's property, or what is wrong with it.
fn property(
    cells: &[&str],
    parse: impl Fn(&str) -> Result<Evidence, String>,
) -> Result<Property, String> {
    let first = cells.first().copied().unwrap_or_default();
    let Some((name, says)) = first
        .strip_prefix('`')
        .and_then(|rest| rest.split_once('`'))
    else {
        return Err(format!("{first:?} does not begin with a property's name"));
    };
    if cells.len() != CELLS {
        return Err(format!("{name} has {} cells and not {CELLS}", cells.len()));
    }
    if !cells[CELLS - 1].contains(&format!("--only {name}`")) {
        return Err(format!("{name}: its command does not ask for it"));
    }
    let named = SHOWN.iter().flat_map(|cell| in_backticks(cells[*cell]));
    let shown: Result<Vec<_>, _> = named.map(parse).collect();
    let shown = shown.map_err(|why| format!("{name}: {why}"))?;
    if shown.is_empty() {
        return Err(format!("{name}: nothing shows it"));
    }
    Ok(Property {
        name: name.to_owned(),
        says: says.trim().to_owned(),
        shown,
    })
}

fn in_backticks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(text: &str) -> Result<Evidence, String> {
        let name = text.strip_prefix("stage ").ok_or("no stage")?;
        Ok(Evidence::Stage(name.to_owned()))
    }

    #[test]
    fn a_row_names_what_shows_it() {
        let text = "## Map\n\n| property | stated | shown | tied | assumed | command |\n| --- | --- | --- | --- | --- \
                    | --- |\n| `I1` one owner | here | `stage a`, and `stage b` | `stage c` | much | `x --only I1` |\n\
                    ## Next\n| `no` row | | `stage d` | | | `--only no` |\n";
        let rows = rows(text);
        assert_eq!(rows.len(), 1);
        let property = property(&rows[0], stage).expect("a property");
        assert_eq!(
            (property.name.as_str(), property.says.as_str()),
            ("I1", "one owner")
        );
        let shown: Vec<_> = property.shown.iter().map(Evidence::to_string).collect();
        assert_eq!(shown, ["stage a", "stage b", "stage c"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (row, why) in [
            (vec!["I1", "", "`stage a`", "", "", "`--only I1`"], "name"),
            (vec!["`I1` x", "", "`stage a`", "", ""], "5 cells"),
            (
                vec!["`I1` x", "", "", "said", "", "`--only I1`"],
                "nothing shows",
            ),
            (
                vec!["`I1` x", "", "`test a`", "", "", "`--only I1`"],
                "no stage",
            ),
            (
                vec!["`I1` x", "", "`stage a`", "", "", "`--only I2`"],
                "does not ask",
            ),
        ] {
            let told = property(&row, stage).expect_err(why);
            assert!(told.contains(why), "{told}");
        }
    }
}
