//! The program: installed once, in pinned versions, into a directory below Cargo's target directory. What is
//! missing fails the test, with a word what to do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The path of a program of the environment in which `requirements.txt` is installed.
pub fn program(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

fn environment() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    fs::create_dir_all(&root).expect("a directory below target");
    // Tests run at once, and so may test runs: one installs, the others wait.
    let lock = File::create(root.join("lock")).expect("a file below target");
    lock.lock().expect("a lock");
    let (directory, done) = (root.join("python"), root.join("installed"));
    if fs::read_to_string(&done).is_ok_and(|there| there == REQUIREMENTS) {
        return directory;
    }
    let _ = fs::remove_file(&done);
    let _ = fs::remove_dir_all(&directory);
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let apt = "Python 3.10 or later with its module venv is needed: on Debian or Ubuntu \
               `sudo apt-get install python3-venv` (./dev test does so by itself when run as root), \
               or name another in the variable PYTHON";
    run(Command::new(python).args(["-m", "venv"]).arg(&directory), apt);
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).expect("a file");
    let pypi = "PyPI must be reachable the first time; a mirror may stand in PIP_INDEX_URL";
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    run(pip.arg(requirements), pypi);
    fs::write(&done, REQUIREMENTS).expect("a file below target");
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
