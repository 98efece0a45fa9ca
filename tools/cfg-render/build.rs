//! Compiles what stands in for the slow parts of musl.

fn main() {
    println!("cargo:rerun-if-changed=src/memory.c");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("ENV") == "musl" && target("ARCH") == "x86_64" {
        cc::Build::new()
            .file("src/memory.c")
            .opt_level(2)
            // What copies memory must not be compiled to a call of what copies memory.
            .flag("-ffreestanding")
            .flag_if_supported("-fno-tree-loop-distribute-patterns")
            .compile("memory");
    }
}
