package sandbox_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// minimalView is what bubblewrap is asked for as the floor: the same namespaces and a view of /usr and one
// writable directory, without filter, Landlock, limits or verification.
func minimalView(tree string) *exec.Cmd {
	return exec.Command("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", tree, tree, "--chdir", tree, "/bin/true")
}

// BenchmarkLaunch measures a whole launch, from the call to the proof that nothing is left, in turns with
// its floors. The medians and their ratio are reported: x-bwrap is the figure with a bar.
func BenchmarkLaunch(b *testing.B) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		b.Skip("bubblewrap is not installed: there is nothing to compare with")
	}
	dir := b.TempDir()
	tree := dir + "/tree"
	if err := os.Mkdir(tree, 0o755); err != nil {
		b.Fatal(err)
	}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: dir, Home: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	var ours, floor, bare, setup []float64
	timed := func(do func()) float64 {
		begun := time.Now()
		do()
		return float64(time.Since(begun).Microseconds())
	}
	for b.Loop() {
		ours = append(ours, timed(func() {
			p, err := box.Launch(b.Context(), sandbox.Request{
				Policy: isolated(), Path: "/bin/true", Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable},
			})
			if err != nil {
				b.Fatal(err)
			}
			if end := p.Exit(); end.Code != 0 || end.Lost != "" {
				b.Fatalf("exit: %+v", end)
			}
			setup = append(setup, float64(p.Enforced().SetupUS))
		}))
		floor = append(floor, timed(func() {
			if out, err := minimalView(tree).CombinedOutput(); err != nil {
				b.Fatalf("bwrap: %v %s", err, out)
			}
		}))
		bare = append(bare, timed(func() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}))
	}
	b.ReportMetric(median(ours), "us/launch")
	b.ReportMetric(median(setup), "us/setup")
	b.ReportMetric(median(floor), "us/bwrap")
	b.ReportMetric(median(bare), "us/forkexec")
	b.ReportMetric(median(ours)/median(floor), "x-bwrap")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
