//! The engine's image: boot, demotion of the host, and each core's loop.
//!
//! ```text
//! smp_boot -> launch -> start the other cores -> banner -> clear RAM -> map the host's RAM -> run the host
//!                           \-> init, clear RAM with the others, park at EL2 until the host's CPU_ON -> run the host
//! ```

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod launch;

#[cfg(target_os = "none")]
use launch::archive;

#[cfg(target_os = "none")]
mod metal {
    use core::panic::PanicInfo;

    use crate::launch::{self, Launched, MetalEngine};
    use engine::arch::{self, HostCalls};
    use engine::host::Next;
    use engine::platform::Platform;
    use engine::trace::Ring;
    use engine::vcpu::context::{Frame, HostFrame};
    use ownership::Census;
    use percpu::{CpuId, CpuToken};
    use smp_boot::{
        Boot, CpuBoot, Engine, MachineInfo, PaRange, console, crash, firmware, println,
    };

    /// Events that are told behind a crash record, shared among the cores, and most of one core. The others go on
    /// until the machine is off, so these are few.
    const TOLD_IN_CRASH: (u64, u64) = (128, 8);

    /// A core that has not cleared 2 MiB in so many seconds never will.
    const STALLED_S: u64 = 60;

    struct Bulkhead;

    smp_boot::entry!(Bulkhead);

    impl Engine for Bulkhead {
        type Shared = MetalEngine;

        fn vectors() -> u64 {
            arch::vectors()
        }

        fn memory_needed(machine: &MachineInfo) -> u64 {
            launch::memory_needed(machine)
        }

        fn primary(mut boot: Boot<Self>) -> ! {
            if let Err(refusal) = arch::check_core() {
                println!("bulkhead: cannot start: {refusal}");
                firmware::power_off();
            }
            let Launched {
                engine,
                host,
                census,
            } = match launch::launch(&mut boot) {
                Ok(launched) => launched,
                Err(error) => {
                    println!("bulkhead: cannot start: {error}");
                    firmware::power_off();
                }
            };
            let (machine, image, region) = (boot.machine, boot.image, boot.region);
            let started = boot.start_secondaries(engine);
            for (id, mpidr) in started.missing() {
                println!("bulkhead: core {mpidr} did not come up");
                // It may come yet, and goes no further then.
                if let Some(core) = engine.host_cores().get(id.index()) {
                    core.leave_out();
                }
            }
            print_banner(engine, machine, started.up, [image, region], &census);
            let Some(id) = CpuId::new(0) else {
                firmware::power_off()
            };
            if let Some(core) = engine.host_cores().first() {
                core.set_on();
            }
            engine.platform().init_core(id);
            let cpu = token(id);
            clear_leftovers(engine, &cpu);
            if let Err(error) = launch::map_host_ram(engine, &cpu, machine, &[image, region]) {
                println!("bulkhead: cannot start: {error}");
                firmware::power_off();
            }
            engine.platform().reset_el1(id);
            run(engine, cpu, host)
        }

        fn secondary(cpu: CpuBoot, engine: &'static MetalEngine) -> ! {
            let id = cpu.id();
            let known = *engine.platform().features();
            let is_weaker = arch::weakest(known, arch::detect()) != known
                || !arch::has_id_registers(&engine.guest_machine().id);
            if is_weaker || arch::check_core().is_err() {
                // Counted as a core that did not come up.
                firmware::halt();
            }
            engine.platform().init_core(id);
            if let Some(core) = engine.host_cores().get(id.index()) {
                core.arrive();
            }
            cpu.arrive();
            let cpu = token(id);
            engine.clear_leftovers(&cpu);
            let host = park(engine, id);
            run(engine, cpu, host)
        }

        fn last_words(engine: &'static MetalEngine) {
            let (all, most) = TOLD_IN_CRASH;
            let rings = engine.rings();
            let each = (all / (rings.len() as u64).max(1)).clamp(1, most);
            for (core, ring) in rings.iter().enumerate() {
                for record in ring.latest(each) {
                    console::write_in_crash(format_args!("{}\n", record.line(core)));
                }
            }
        }
    }

    /// Version, cores, RAM, pages per state.
    fn print_banner(
        engine: &MetalEngine,
        machine: &MachineInfo,
        up: usize,
        [image, region]: [PaRange; 2],
        census: &Census,
    ) {
        println!(
            "bulkhead {}: {up} of {} cores at EL2, {} MiB of RAM, engine at {image} and {region}",
            env!("CARGO_PKG_VERSION"),
            machine.cpus.len(),
            machine.ram_bytes() >> 20,
        );
        println!(
            "bulkhead: pages: {} reserved, {} host, {} host-fixed, {} engine",
            census.reserved, census.host, census.host_fixed, census.engine,
        );
        let rings = engine.rings();
        println!(
            "bulkhead: trace: {} rings of {} bytes at {:#x}",
            rings.len(),
            size_of::<Ring>(),
            rings.as_ptr().addr(),
        );
    }

    /// This core's token.
    fn token(id: CpuId) -> CpuToken {
        // SAFETY: called once per core, by its primary or secondary entry, with interrupts masked.
        unsafe { CpuToken::new(id) }
    }

    /// Clears RAM with all other cores, and waits until they are done too.
    fn clear_leftovers(engine: &MetalEngine, cpu: &CpuToken) {
        engine.clear_leftovers(cpu);
        let left = engine.leftovers();
        let (mut done, mut since) = (left.done(), arch::counter());
        while !left.are_gone() {
            let (seen, now) = (left.done(), arch::counter());
            if seen != done {
                (done, since) = (seen, now);
            } else if now.wrapping_sub(since) > arch::counter_hz().saturating_mul(STALLED_S) {
                println!("bulkhead: cannot start: a core came to a stop while it cleared RAM");
                firmware::power_off();
            }
        }
    }

    /// A core's loop: the host until it needs the engine, the engine until it is answered.
    fn run(engine: &'static MetalEngine, cpu: CpuToken, mut host: HostFrame) -> ! {
        let id = cpu.id();
        let mut calls = HostCalls::new(engine, cpu);
        loop {
            let exit = engine.platform().run_host(&mut host, &mut calls);
            match engine.host_trap(calls.cpu(), &mut host, exit.esr, exit.far, exit.hpfar) {
                Next::Resume => {}
                Next::Park => host = park(engine, id),
                Next::SystemOff => firmware::power_off(),
                Next::SystemReset => {
                    let mut x = [0; 18];
                    x[0] = abi::psci::SYSTEM_RESET;
                    engine.platform().smc(id, &mut x);
                    firmware::power_off()
                }
            }
        }
    }

    /// Waits at EL2 until the host turns this core on.
    fn park(engine: &'static MetalEngine, id: CpuId) -> HostFrame {
        loop {
            engine.platform().park_core(id);
            let core = engine.host_cores().get(id.index());
            if let Some((entry, context)) = core.and_then(|core| core.take_release()) {
                return HostFrame(Frame::new(entry, context));
            }
        }
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        crash::report_panic(info)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("bulkhead runs on bare metal only; `cargo xtask run` builds and boots it");
    std::process::exit(1);
}
