//! What is mutated, and with which tests: cheap ones first, and the dearer for what these let live.

/// Sources that are mutated, and their tests.
pub struct Area {
    /// The package, without `bulkhead-`.
    pub name: &'static str,
    /// The files, as cargo-mutants takes them; all where there is none.
    pub files: &'static [&'static str],
    /// In this order, each for what the one before let live.
    pub rounds: &'static [Round],
}

/// Tests of one package that are one cargo command.
pub struct Round {
    pub name: &'static str,
    /// The package whose tests these are, without `bulkhead-`.
    pub tests_of: &'static str,
    /// Which target: what else there is need not be built.
    pub target: &'static [&'static str],
    /// What the tests' program gets: which of them.
    pub arguments: &'static [&'static str],
    /// Seconds after which a mutant counts as noticed: it hangs.
    pub timeout: u32,
}

/// The feature that the engine's tests need; of any package that the workspace is looked at from.
pub const FEATURES: &str = "bulkhead-engine/sim";

/// Length of the random sequences on the simulated machine, which by itself is 250.
pub const STEPS: &str = "100";

const ENGINE_UNIT: Round = Round {
    name: "the engine's unit tests",
    tests_of: "engine",
    target: &["--lib"],
    arguments: &[],
    timeout: 30,
};

/// What takes a few seconds together.
const SIMULATED: Round = Round {
    name: "the simulated machine's quick tests",
    tests_of: "engine",
    target: &["--test", "simulated"],
    arguments: &[
        "alone::",
        "arguments::",
        "flushes::",
        "host::",
        "lifecycle::",
        "memory::",
        "random::",
        "scenarios::",
    ],
    timeout: 60,
};

/// All but what takes longer than the rest together.
const MORE_SIMULATED: Round = Round {
    name: "the simulated machine's other tests",
    tests_of: "engine",
    target: &["--test", "simulated"],
    arguments: &[
        "--skip=churn::leaves",
        "--skip=donations::tables_are_zeroed",
        "--skip=reclaiming::slices_of_any_length",
        "--skip=reclaiming::a_gigabyte",
    ],
    timeout: 240,
};

/// All.
pub const AREAS: [Area; 3] = [
    Area {
        name: "percpu",
        files: &[],
        rounds: &[
            Round {
                name: "its own tests",
                tests_of: "percpu",
                target: &["--lib"],
                arguments: &[],
                timeout: 20,
            },
            SIMULATED,
        ],
    },
    Area {
        name: "ownership",
        files: &[],
        rounds: &[
            Round {
                name: "its own tests",
                tests_of: "ownership",
                target: &["--lib"],
                arguments: &[],
                timeout: 20,
            },
            SIMULATED,
            MORE_SIMULATED,
        ],
    },
    // Decoding of syndromes and arguments, and stage 2.
    Area {
        name: "engine",
        files: &[
            "engine/src/trap/syndrome.rs",
            "engine/src/trap/syndrome/*.rs",
            "engine/src/hypercall/arguments.rs",
            "engine/src/stage2/*.rs",
        ],
        rounds: &[ENGINE_UNIT, SIMULATED, MORE_SIMULATED],
    },
];
