//! A real Slurm in a temporary folder: several nodes with fake GPUs on this machine, without root and without touching
//! the machine's own configuration.
//!
//! Everything is private: configuration, keys, ports and logs. A fake GPU is a character device, such as `/dev/null`,
//! because Slurm sets `CUDA_VISIBLE_DEVICES` for nothing else. Tests that need a cluster say so and pass where Slurm is
//! not installed.

#![allow(clippy::print_stderr)]

use std::{
    env,
    fmt::Write,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Devices that stand for GPUs: any two different ones will do.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random"];

/// Shares of a GPU that can be asked for.
const SHARDS: usize = 4;

/// How long daemons may take to start, and elements to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Slurm; its processes end when it is dropped.
pub(crate) struct SlurmCluster {
    folder: TempDir,
    nodes: usize,
}

impl SlurmCluster {
    /// Starts a cluster. Returns nothing, audibly, if Slurm is not installed.
    pub(crate) fn start(nodes: usize, gpus: usize) -> Option<SlurmCluster> {
        SlurmCluster::with_limits(nodes, gpus, "")
    }

    /// Starts a cluster with further lines of `slurm.conf`.
    pub(crate) fn with_limits(nodes: usize, gpus: usize, limits: &str) -> Option<SlurmCluster> {
        if !is_installed() {
            eprintln!("skipped: there is no Slurm here (Debian: apt-get install slurm-wlm munge)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let cluster = SlurmCluster { folder, nodes };
        cluster.configure(gpus, limits);
        let key = cluster.path("munge/munge.key");
        fs::write(&key, key_of_bytes()).unwrap();
        cluster.restrict("munge", "700");
        cluster.restrict("munge/munge.key", "400");
        let option = |name: &str, file: &str| format!("--{name}={}", cluster.path(file).display());
        let munge = [
            "--force".to_owned(),
            option("key-file", "munge/munge.key"),
            option("socket", "run/munge.socket"),
            option("pid-file", "run/munged.pid"),
            option("log-file", "log/munged.log"),
            option("seed-file", "munge/munge.seed"),
        ];
        cluster.daemon("munged", &munge);
        cluster.start_controller();
        for node in 1..=nodes {
            cluster.start_node(node);
        }
        cluster.wait_until_idle();
        Some(cluster)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the configuration, for the variable `SLURM_CONF`.
    pub(crate) fn conf(&self) -> PathBuf {
        self.path("etc/slurm.conf")
    }

    fn configure(&self, gpus: usize, limits: &str) {
        for folder in ["etc", "state", "run", "log", "munge"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        for node in 1..=self.nodes {
            fs::create_dir_all(self.path(&format!("spool/n{node}"))).unwrap();
        }
        let (user, host) = (said("id", &["-un"]), said("hostname", &["-s"]));
        let base = self.folder.path().display();
        let ports = free_ports(1 + self.nodes);
        let shards = gpus * SHARDS;
        let mut conf = format!(
            "ClusterName=tiny\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={port}\n\
             SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={base}/run/munge.socket\n\
             CredType=cred/munge\nStateSaveLocation={base}/state\nSlurmdSpoolDir={base}/spool/%n\n\
             SlurmctldPidFile={base}/run/slurmctld.pid\nSlurmdPidFile={base}/run/slurmd-%n.pid\n\
             SlurmctldLogFile={base}/log/slurmctld.log\nSlurmdLogFile={base}/log/slurmd-%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSwitchType=switch/none\nMpiDefault=none\n\
             ReturnToService=2\nSchedulerType=sched/backfill\n\
             SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nKillWait=2\n\
             SlurmctldTimeout=10\nSlurmdTimeout=10\nMessageTimeout=10\nSlurmdParameters=config_overrides\n\
             GresTypes=gpu,shard\n{limits}\n",
            port = ports[0],
        );
        for (node, port) in (1..).zip(&ports[1..]) {
            writeln!(
                conf,
                "NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 Gres=gpu:{gpus},shard:{shards}"
            )
            .unwrap();
        }
        writeln!(
            conf,
            "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
        )
        .unwrap();
        fs::write(self.conf(), conf).unwrap();
        let devices = DEVICES.iter().take(gpus);
        let devices: Vec<String> = devices
            .map(|file| format!("Name=gpu File={file}\n"))
            .collect();
        let gres = format!(
            "AutoDetect=off\n{}Name=shard Count={shards}\n",
            devices.concat()
        );
        fs::write(self.path("etc/gres.conf"), gres).unwrap();
    }

    fn restrict(&self, name: &str, mode: &str) {
        let path = self.path(name);
        let done = Command::new("chmod").arg(mode).arg(path).status().unwrap();
        assert!(done.success());
    }

    fn daemon(&self, program: &str, arguments: &[String]) {
        let mut command = self.command(program);
        let status = command
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{program}: {status}");
    }

    pub(crate) fn start_controller(&self) {
        self.daemon(
            "slurmctld",
            &["-f".to_owned(), self.conf().display().to_string()],
        );
    }

    pub(crate) fn start_node(&self, node: usize) {
        let conf = self.conf().display().to_string();
        self.daemon(
            "slurmd",
            &["-f", &conf, "-N", &format!("n{node}")].map(str::to_owned),
        );
    }

    /// Kills a daemon as a crash would: `slurmctld`, or `slurmd-n1`.
    pub(crate) fn kill(&self, daemon: &str) {
        let file = self.path(&format!("run/{daemon}.pid"));
        let pid: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        wait_until("the daemon is gone", || {
            !Path::new(&format!("/proc/{pid}")).exists()
        });
        fs::remove_file(file).unwrap();
    }

    /// Returns a command of Slurm that speaks to this cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.conf());
        command
    }

    /// Runs a command of Slurm and returns what it printed.
    pub(crate) fn says(&self, program: &str, arguments: &[&str]) -> String {
        let Output { stdout, stderr, .. } = self.command(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr)
    }

    /// Waits until all nodes can be used.
    pub(crate) fn wait_until_idle(&self) {
        let all = format!("{} idle", self.nodes);
        wait_until("all nodes are idle", || {
            self.says("sinfo", &["-h", "-o", "%D %t"]).trim() == all
        });
    }

    /// Returns the ids of all processes of this cluster but `munged`: daemons, steps and what they run.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let conf = format!("SLURM_CONF={}", self.conf().display());
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let ours = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let variables = fs::read(entry.path().join("environ")).ok()?;
            let mut variables = variables.split(|&byte| byte == 0);
            variables
                .any(|variable| variable == conf.as_bytes())
                .then_some(pid)
        });
        ours.filter(|&pid| pid != std::process::id().cast_signed())
            .collect()
    }
}

impl Drop for SlurmCluster {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        if let Ok(pid) = fs::read_to_string(self.path("run/munged.pid")) {
            let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        if thread::panicking() {
            let log = fs::read_to_string(self.path("log/slurmctld.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("the end of the controller's log:\n{}", last.join("\n"));
        }
    }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

fn is_installed() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    ["slurmctld", "slurmd", "sbatch", "munged"]
        .into_iter()
        .all(has)
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Ports that nobody uses, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port());
    ports.collect()
}

fn key_of_bytes() -> Vec<u8> {
    (0..1024u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
