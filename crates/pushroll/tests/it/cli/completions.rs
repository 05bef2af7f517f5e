use super::{program, run};

#[tokio::test]
async fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(program().args(["completions", shell])).await.ended(0).out;
        for word in ["registration", "import", "doctor", "admin-token-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(program().args(["completions", "tcsh"])).await.ended(64);
}

#[tokio::test]
async fn every_command_explains_itself() {
    for command in [
        &["org", "create"][..],
        &["app", "create"],
        &["app", "info"],
        &["token", "create"],
        &["device", "import"],
        &["device", "export"],
        &["registration", "list"],
        &["doctor"],
        &["config", "check"],
    ] {
        let help = run(program().args(command).arg("--help")).await.ended(0).out;
        assert!(help.contains("Usage: pushroll"), "{help}");
    }
}
