package main

// jobs are kinds of work that coding agents do all day.
func jobs() []job {
	return []job{
		{"go build, go vet, go test with TCP, UDP, unix, http", "go", goJob},
		{"node: http server, fetch, workers, child processes", "node", nodeJob},
		{"npm test with a local dependency", "npm", npmJob},
		{"python: multiprocessing, sqlite, threads, sockets", "python3", pythonJob},
		{"python: a program at a terminal of its own", "python3", ptyJob},
		{"gcc and make", "gcc", gccJob},
		{"git: commit, branch, merge, rebase, stash, clone, gc", "git", gitJob},
		{"tar, modes, links, times", "tar", tarJob},
		{"shell: signals, pipes, jobs, sparse files, fifos", "sh", shellJob},
		{"sqlite3", "sqlite3", `sqlite3 t.db 'pragma journal_mode=wal; create table t(a); insert into t values(1),(2); select sum(a) from t' | grep -q 3`},
		{"cargo build", "/usr/bin/cargo", `cargo init --vcs none --name hello && cargo test --offline`},
	}
}

const goJob = `mkdir g; cd g
cat >go.mod <<E
module example.com/g
go 1.24
E
cat >g_test.go <<'E'
package g
import ("io";"net";"net/http";"net/http/httptest";"os/exec";"path/filepath";"testing")
func TestNet(t *testing.T) {
	for _, a := range [][2]string{{"tcp","127.0.0.1:0"},{"unix",filepath.Join(t.TempDir(),"s")}} {
		l, err := net.Listen(a[0], a[1]); if err != nil { t.Fatal(err) }
		go func() { c, err := l.Accept(); if err == nil { io.WriteString(c, "hi"); c.Close() } }()
		c, err := net.Dial(a[0], l.Addr().String()); if err != nil { t.Fatal(err) }
		if b, err := io.ReadAll(c); err != nil || string(b) != "hi" { t.Fatal(err, b) }
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0"); if err != nil { t.Fatal(err) }
	if _, err := u.WriteTo([]byte("x"), u.LocalAddr()); err != nil { t.Fatal(err) }
	s := httptest.NewServer(http.NotFoundHandler()); defer s.Close()
	r, err := http.Get(s.URL); if err != nil || r.StatusCode != 404 { t.Fatal(err) }
	if out, err := exec.Command("echo", "x").Output(); err != nil || len(out) != 2 { t.Fatal(err) }
}
E
go vet ./... && go test ./... && go build ./...`

const nodeJob = `cat >t.js <<'E'
const http=require('http'),{Worker,isMainThread}=require('worker_threads'),cp=require('child_process'),fs=require('fs');
if(!isMainThread) return;
const s=http.createServer((q,r)=>r.end('hi')).listen(0,'127.0.0.1',async()=>{
 const t=await(await fetch('http://127.0.0.1:'+s.address().port)).text(); if(t!=='hi') process.exit(1);
 const w=new Worker(__filename); w.on('exit',()=>{ const w2=fs.watch('.'); fs.writeFileSync('x','1');
  w2.on('change',()=>{w2.close(); if(cp.execSync('echo a').toString()!=='a\n') process.exit(2); s.close(); process.exit(0)}) });
});
E
node t.js`

const npmJob = `mkdir -p n/dep; cd n
echo '{"name":"dep","version":"1.0.0","main":"i.js"}' >dep/package.json; echo 'module.exports=41' >dep/i.js
echo 'if(require("dep")!==41)process.exit(1)' >t.js
echo '{"name":"n","version":"1.0.0","dependencies":{"dep":"file:dep"},"scripts":{"test":"node t.js"}}' >package.json
npm install --offline --no-audit --no-fund && npm test`

const pythonJob = `cat >t.py <<'E'
import multiprocessing as m, sqlite3, threading, socket, mmap, tempfile
from multiprocessing import shared_memory
def f(x): return x*x
if __name__=='__main__':
    with m.Pool(3) as p: assert p.map(f,[1,2,3])==[1,4,9]
    s=shared_memory.SharedMemory(create=True,size=4096); s.buf[0]=7; s.close(); s.unlink()
    q=m.Queue(); q.put(1); assert q.get()==1
    d=sqlite3.connect('x.db'); d.execute('create table t(a)'); d.execute('insert into t values(1)'); d.commit()
    a,b=socket.socketpair(); a.send(b'x'); assert b.recv(1)==b'x'
    t=threading.Thread(target=lambda:None); t.start(); t.join()
    mm=mmap.mmap(-1,4096); mm[0]=1
E
/usr/bin/python3 t.py`

const ptyJob = `cat >t.py <<'E'
import pty,os
out=b''
pid,fd=pty.fork()
if pid==0: os.execvp('sh',['sh','-c','test -t 0 && stty size && echo yes'])
try:
    while True:
        b=os.read(fd,1024)
        if not b: break
        out+=b
except OSError: pass
assert b'yes' in out, out
E
/usr/bin/python3 t.py`

const gccJob = `cat >m.c <<'E'
#include <pthread.h>
#include <stdio.h>
#include <sys/shm.h>
#include <semaphore.h>
#include <time.h>
#include <signal.h>
static void *f(void *p) { return p; }
int main(void) { pthread_t t; sem_t s; timer_t m; int id = shmget(IPC_PRIVATE, 4096, 0600);
 if (id < 0 || shmat(id, 0, 0) == (void *)-1 || shmctl(id, IPC_RMID, 0)) return 1;
 if (sem_init(&s, 1, 1) || timer_create(CLOCK_MONOTONIC, 0, &m)) return 2;
 if (pthread_create(&t, 0, f, 0) || pthread_join(t, 0)) return 3; puts("hi"); return 0; }
E
printf 'm: m.c\n\tgcc -O2 -pthread -o m m.c -lrt\n' >Makefile
make -j2 && ./m | grep -q hi`

const gitJob = `git status --porcelain; git switch -qc base; echo a >a; git add a; git commit -qm a
git switch -qc topic; echo b >b; git add b; git commit -qm b; git switch -q base; git switch -qc other
echo c >c; git add c; git commit -qm c; git merge -q --no-edit topic; git rebase -q HEAD~1 || git rebase --abort
echo d >a; git stash -q; git stash pop -q; git checkout -q a; git tag v1; git log --oneline | grep -q a
git clone -q . /tmp/clone; git gc -q; git fsck --no-dangling; git diff --stat HEAD~1`

const tarJob = `mkdir -p d/e; echo x >d/e/f; chmod 750 d/e; ln -s f d/e/l; ln d/e/f d/e/h; touch -d '2020-01-01' d/e/f
tar czf d.tgz d; mkdir o; tar xzpf d.tgz -C o; test "$(stat -c %a o/d/e)" = 750; cmp d/e/f o/d/e/f; cp -a d p; rm -rf d
dd if=/dev/zero of=big bs=1 count=0 seek=500M 2>/dev/null; flock big true; sha256sum o/d/e/f >/dev/null`

const shellJob = `mkfifo f; (echo x >f) & read y <f; test "$y" = x; trap 'got=1' USR1; kill -USR1 $$; test "$got" = 1
sleep 100 & kill $!; wait $! || true; seq 1000 | sort -n | tail -1 | grep -q 1000; timeout 1 sleep 5 || test $? = 124
nice -n 5 true; setsid true; id -un >/dev/null; hostname >/dev/null; date >/dev/null; mktemp >/dev/null; ps aux >/dev/null; df . >/dev/null`
