//! Seen otherwise than it is: would a difference be found?
//!
//! Invariant: each corruption changes one thing of one kind; a comparison that does not find it compares
//! too little.

/// What is seen otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corruption {
    /// A result register of a call, x0 to x17.
    Register(usize),
    /// What a load of the host's found.
    Loaded,
    /// The text of the state: in the first line that begins so, the field at this place.
    Field(&'static str, usize),
    /// A line of the state is missing: the first that begins so.
    Line(&'static str),
}

/// Each kind, with what it is.
pub const ALL: &[(&str, Corruption)] = &[
    ("the status, x0", Corruption::Register(0)),
    ("a result, x1", Corruption::Register(1)),
    ("a result that is zero, x17", Corruption::Register(17)),
    ("what the host loaded", Corruption::Loaded),
    ("a page's word", Corruption::Field("p ", 3)),
    ("a leaf of the host's", Corruption::Field("p ", 4)),
    ("which page a content is in", Corruption::Field("c ", 1)),
    ("where in the page", Corruption::Field("c ", 2)),
    ("a content's byte", Corruption::Field("c ", 3)),
    ("a content is not seen", Corruption::Line("c ")),
    ("a VM's generation", Corruption::Field("v ", 2)),
    ("a VM's phase", Corruption::Field("v ", 3)),
    ("a VM's range of RAM", Corruption::Field("v ", 4)),
    ("a VM's redistributor", Corruption::Field("v ", 10)),
    ("a VM's vCPUs", Corruption::Field("v ", 12)),
    ("the IPA of a leaf of a VM's", Corruption::Field("l ", 2)),
    ("the page of a leaf of a VM's", Corruption::Field("l ", 3)),
    ("how many pages", Corruption::Field("l ", 4)),
    ("its rights", Corruption::Field("l ", 5)),
    ("a leaf is not seen", Corruption::Line("l ")),
    ("a vCPU's generation", Corruption::Field("u ", 2)),
    ("where a vCPU is", Corruption::Field("u ", 3)),
    ("whose it is", Corruption::Field("u ", 4)),
    ("its affinity", Corruption::Field("u ", 5)),
    ("what it waits for", Corruption::Field("u ", 6)),
    (
        "whether it waits for an interrupt",
        Corruption::Field("u ", 7),
    ),
    ("its registers", Corruption::Field("u ", 8)),
    ("its interrupts", Corruption::Field("u ", 9)),
    ("a core's power", Corruption::Field("k ", 1)),
    ("the doorbell", Corruption::Field("d ", 1)),
];

impl Corruption {
    /// Changes what a call answered.
    pub fn registers(self, x: &mut [u64; 18]) {
        if let Self::Register(which) = self
            && let Some(x) = x.get_mut(which)
        {
            *x ^= 1;
        }
    }

    /// Changes what was loaded.
    pub fn loaded(self, value: u64) -> u64 {
        if self == Self::Loaded {
            value ^ 1 << 40
        } else {
            value
        }
    }

    /// Changes the state's text: is there anything of the kind to change?
    pub fn text(self, text: &mut String) -> bool {
        let (Self::Field(begin, _) | Self::Line(begin)) = self else {
            return false;
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let changed = match self {
            Self::Line(_) => lines
                .iter()
                .position(|line| line.starts_with(begin))
                .map(|at| {
                    lines.remove(at);
                }),
            Self::Field(_, place) => lines
                .iter_mut()
                .filter(|line| line.starts_with(begin))
                .find_map(|line| {
                    let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
                    // The last character of the field is another.
                    let field = fields.get_mut(place)?;
                    let last = field.pop()?;
                    field.push(if last == '1' { '0' } else { '1' });
                    *line = fields.join(" ");
                    Some(())
                }),
            Self::Register(_) | Self::Loaded => None,
        };
        *text = lines.join("\n") + "\n";
        changed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Corruption;

    #[test]
    fn one_field_of_the_first_line_changes() {
        let mut text = "p 0 8 R 0\nk I\nk I\n".to_owned();
        assert!(Corruption::Field("k ", 1).text(&mut text));
        assert_eq!(text, "p 0 8 R 0\nk 1\nk I\n");
        assert!(Corruption::Line("k ").text(&mut text));
        assert_eq!(text, "p 0 8 R 0\nk I\n");
        assert!(!Corruption::Field("c ", 1).text(&mut text), "there is none");
    }
}
