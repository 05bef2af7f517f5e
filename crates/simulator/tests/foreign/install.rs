//! The clients that others wrote: installed once, in pinned versions, into a directory below Cargo's
//! target directory. What is missing fails the test, with a word what to do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const REQUIREMENTS: &str = include_str!("python/requirements.txt");
const PACKAGE: &str = include_str!("node/package.json");
const PACKAGE_LOCK: &str = include_str!("node/package-lock.json");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign");

/// Runs a script of `tests/foreign/python` with a plan; what it says as JSON.
pub fn python(script: &str, plan: &Value, variables: &[(&str, &Path)]) -> Value {
    let mut command = Command::new(python_environment().join("bin/python"));
    command.arg(format!("{SCRIPTS}/python/{script}")).arg(plan.to_string());
    command.envs(variables.iter().copied());
    said(&mut command)
}

/// Runs a script of `tests/foreign/node` with a plan; what it says as JSON.
pub fn node(script: &str, plan: &Value) -> Value {
    let mut command = Command::new("node");
    command.arg(format!("{SCRIPTS}/node/{script}")).arg(node_directory()).arg(plan.to_string());
    said(&mut command)
}

/// What the command writes, as JSON.
fn said(command: &mut Command) -> Value {
    // A proxy of this machine is not meant for the simulator.
    for variable in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    let output = command.output().expect("the interpreter");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}\n{out}\n{err}"))
}

/// An environment of Python with what `requirements.txt` names.
fn python_environment() -> PathBuf {
    installed("python", &[REQUIREMENTS], |directory| {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let apt = "Python 3.10 or later with its module venv is needed: on Debian or Ubuntu \
                   `sudo apt-get install python3-venv` (./dev test does so by itself when run as \
                   root), or name another in the variable PYTHON";
        run(Command::new(python).args(["-m", "venv"]).arg(directory), apt);
        let requirements = directory.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).expect("a file");
        let pypi = "PyPI must be reachable the first time; a mirror may stand in PIP_INDEX_URL";
        let mut pip = Command::new(directory.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        run(pip.arg(requirements), pypi);
    })
}

/// A directory with what `package-lock.json` names.
fn node_directory() -> PathBuf {
    installed("node", &[PACKAGE, PACKAGE_LOCK], |directory| {
        fs::create_dir_all(directory).expect("a directory");
        fs::write(directory.join("package.json"), PACKAGE).expect("a file");
        fs::write(directory.join("package-lock.json"), PACKAGE_LOCK).expect("a file");
        let help = "node 20, 22 or 24 with npm is needed (https://nodejs.org, or on Debian or Ubuntu \
                    `sudo apt-get install nodejs npm`, which ./dev test does by itself when run as \
                    root), and the npm registry must be reachable the first time; a mirror may stand \
                    in npm_config_registry";
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(directory);
        run(&mut npm, help);
    })
}

/// The directory of a kind of client, made by `install` unless it is there for the same versions.
fn installed(kind: &str, versions: &[&str], install: impl FnOnce(&Path)) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign-clients");
    fs::create_dir_all(&root).expect("a directory below target");
    // Tests run at once, and so may test runs: one installs, the others wait.
    let lock = File::create(root.join(format!("{kind}.lock"))).expect("a file below target");
    lock.lock().expect("a lock");
    let (directory, done) = (root.join(kind), root.join(format!("{kind}.installed")));
    let wanted = versions.concat();
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return directory;
    }
    let _ = fs::remove_file(&done);
    let _ = fs::remove_dir_all(&directory);
    install(&directory);
    fs::write(&done, wanted).expect("a file below target");
    directory
}

fn run(command: &mut Command, help: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{command:?} failed: {}\n{}{}\n\n{help}.",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Err(fault) => panic!("{command:?} can't be run: {fault}\n\n{help}."),
    }
}
