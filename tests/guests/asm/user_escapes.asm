; An adversary in ring 3, each time in an address space of its own: instructions reached from the
; middle of others, where no look at the page finds them, into 64-bit mode and from there on every
; way to the host. To the guest's processor these are bad far transfers and segment loads: #GP.
; Of the escapes a few are none on each host: pages that hold the opcode of SYSENTER (Intel) or
; SYSCALL (AMD) do not run directly.
; exit: 0
; counters direct: direct.escapes>14
; counters direct-faulting: direct.escapes>14
; serial:
;   jmp far: getpid 0d
;   call far: exit_group 0d
;   retf: mmap 0d
;   iret: kill 0d
;   jmp far m: munmap 0d
;   int 80 of 64 bits 0d
;   int 80 with a stack 0d
;   sysenter of 32 bits 0d
;   sysenter of 64 bits 0d
;   sysenter without a stack is over
;   stub with a command of its own 0d
;   the stub's syscall 0d
;   write to the stub 0d
;   write to the commands 0d
;   read of the commands 0d
;   vsyscall 0d
;   hlt of 64 bits 0d
;   loop of 64 bits 0d
;   non-canonical 0d
;   far above 0d
;   mov gs 0d
;   mov ds 0d
;   mov fs 0d
;   wrfsbase 0d
;   protection keys is over
%include "guest.inc"

DIRECTORIES equ SPARE + 0x100000
RESULT      equ USER_STACK - 0x800
HOST64      equ 0x33              ; Linux's 64-bit user code; nothing in our GDT
HOST32      equ 0x23
STUB_BIT    equ 46                ; its address is this bit; the commands are on the page above

%macro attack 2                   ; text, label
  print %1, " "
  mov eax, %2
  call attack_in_new_space
  mov eax, [fault_vector]
  call print_byte
  say ""
%endmacro

; How it ends depends on the host's processor, and is nobody's business but the program's.
%macro survive 2
  print %1, " "
  mov eax, %2
  call attack_in_new_space
  say "is over"
%endmacro

main:
  call paging_on
%assign page 0
%rep 25
  user_page addr(user_code) + page * 0x1000
%assign page page + 1
%endrep
  user_page USER_STACK - 0x1000
  call flush_tlb
  attack "jmp far: getpid", jumps_far
  attack "call far: exit_group", calls_far
  attack "retf: mmap", returns_far
  attack "iret: kill", irets
  attack "jmp far m: munmap", jumps_by_memory
  attack "int 80 of 64 bits", int80_of_64
  attack "int 80 with a stack", int80_with_stack
  attack "sysenter of 32 bits", sysenter_32
  attack "sysenter of 64 bits", sysenter_64
  survive "sysenter without a stack", sysenter_no_stack
  attack "stub with a command of its own", stub_command
  attack "the stub's syscall", stub_syscall
  attack "write to the stub", stub_write
  attack "write to the commands", commands_write
  attack "read of the commands", commands_read
  attack "vsyscall", vsyscall
  attack "hlt of 64 bits", halt_64
  mov ecx, 11932
  call start_timer
  attack "loop of 64 bits", loop_64
  mov al, 0xff
  out 0x21, al
  attack "non-canonical", non_canonical
  attack "far above", far_above
  attack "mov gs", loads_gs
  attack "mov ds", loads_ds
  attack "mov fs", loads_fs
  attack "wrfsbase", sets_base
  survive "protection keys", protection_keys
  ret

attack_in_new_space:
  mov edi, [next_directory]
  add dword [next_directory], 0x1000
  mov edx, edi
  mov esi, PAGE_DIR
  mov ecx, 1024
  rep movsd
  mov cr3, edx
  try .caught
  mov edx, USER_STACK
  call run_user
  no_try
  mov dword [fault_vector], 0xff  ; no fault at all
.caught:
  ret
next_directory: dd DIRECTORIES

; What follows, of 8 bytes, is to any sweep the rest of MOV DWORD [m], imm32.
%macro behind_a_store 0
  mov ecx, %%carrier + 2
  jmp ecx
%%carrier:
  db 0xc7, 0x05
%endmacro

; On in 64-bit code by a far jump.
%macro to_64_bits 0
  behind_a_store
  db 0xea
  dd %%there
  dw HOST64
  nop
%%there:
  bits 64
%endmacro

; In 64-bit code; a visible one would give the page away.
%macro hidden_syscall 0
  mov ecx, %%carrier + 2
  jmp rcx
%%carrier:
  db 0xc7, 0x05
  syscall
  times 6 nop
%endmacro

; mmap(0x700000, 4096, RWX, shared and fixed, descriptor 3, 0)
%macro host_mmap 0
  mov eax, 9
  mov edi, 0x700000
  mov esi, 0x1000
  mov edx, 7
  mov r10d, 0x11
  mov r8d, 3
  xor r9d, r9d
  hidden_syscall
%endmacro

; Alone on its page: what confuses the sweep of one spares the others.
%macro on_a_page 1
  align 4096
%1:
%endmacro

align 4096
user_code:
on_a_page jumps_far
  to_64_bits
  mov eax, 39
  hidden_syscall
  mov [abs RESULT], eax
  jmp $
  bits 32
on_a_page calls_far
  behind_a_store
  db 0x9a
  dd .there
  dw HOST64
  nop
.there:
  bits 64
  mov eax, 231
  mov edi, 7
  hidden_syscall
  jmp $
  bits 32
on_a_page returns_far
  push dword HOST64
  push dword .there
  behind_a_store
  retf
  times 7 nop
.there:
  bits 64
  host_mmap
  jmp $
  bits 32
on_a_page irets
  push dword 0x202
  push dword HOST64
  push dword .there
  behind_a_store
  iret
  times 7 nop
.there:
  bits 64
  mov eax, 62
  xor edi, edi
  mov esi, 9
  hidden_syscall
  jmp $
  bits 32
on_a_page jumps_by_memory
  mov dword [RESULT], .there
  mov word [RESULT + 4], HOST64
  behind_a_store
  jmp far [RESULT]
  times 2 nop
.there:
  bits 64
  mov eax, 11
  xor edi, edi
  mov esi, 1
  shl rsi, 46
  hidden_syscall
  jmp $
  bits 32
on_a_page int80_of_64
  to_64_bits
  mov eax, 1
  mov ebx, 7
  int 0x80
  jmp $
  bits 32
on_a_page int80_with_stack
  to_64_bits
  mov esp, RESULT
  mov eax, 120                    ; clone
  mov ebx, 0x11
  mov ecx, RESULT
  int 0x80
  jmp $
  bits 32
on_a_page sysenter_32
  mov ebp, RESULT
  mov eax, 1
  behind_a_store
  sysenter
  times 6 nop
  jmp $
on_a_page sysenter_no_stack
  xor ebp, ebp                    ; the host's kernel goes on in 32-bit mode, where nothing is mapped
  behind_a_store
  sysenter
  times 6 nop
  jmp $
on_a_page sysenter_64
  to_64_bits
  mov ebp, RESULT
  mov eax, 1
  mov ecx, .hidden + 2
  jmp rcx
.hidden:
  db 0xc7, 0x05
  sysenter
  times 6 nop
  jmp $
  bits 32
on_a_page stub_command
  mov edi, RESULT
  mov dword [edi], 231            ; exit_group
  mov ecx, 15
.zero:
  mov dword [edi + ecx * 4], 0
  loop .zero
  to_64_bits
  mov ebx, RESULT
  mov ebp, 1
  mov eax, 1
  shl rax, STUB_BIT
  jmp rax
  bits 32
on_a_page stub_syscall
  to_64_bits
  mov ebx, RESULT
  mov ecx, 1
  shl rcx, STUB_BIT
  add rcx, 0x20
  mov eax, 231
  mov edi, 7
  mov ebp, 2
  jmp rcx
  bits 32
on_a_page stub_write
  to_64_bits
  mov eax, 1
  shl rax, STUB_BIT
  mov [rax], ebx
  jmp $
  bits 32
on_a_page commands_write
  to_64_bits
  mov eax, 1
  shl rax, STUB_BIT
  add rax, 0x1000
  mov [rax], rax
  jmp $
  bits 32
on_a_page commands_read
  to_64_bits
  mov eax, 1
  shl rax, STUB_BIT
  add rax, 0x1000
  mov rbx, [rax]
  hlt
  bits 32
on_a_page vsyscall
  to_64_bits
  mov edi, RESULT
  xor esi, esi
  mov rax, -0xa00000
  call rax
  jmp $
  bits 32

on_a_page halt_64
  to_64_bits
  hlt
  bits 32
on_a_page loop_64
  to_64_bits
  jmp $
  bits 32
on_a_page non_canonical
  to_64_bits
  mov eax, 1
  shl rax, 50
  mov [rax], eax
  jmp $
  bits 32
on_a_page far_above
  to_64_bits
  mov eax, 0x7fff
  shl rax, 32
  jmp rax
  bits 32
on_a_page loads_gs
  mov eax, 0x2b                   ; the host's data; our TSS
  behind_a_store
  mov gs, eax
  times 6 nop
  mov eax, gs:[RESULT]
  jmp $
on_a_page loads_ds
  mov eax, HOST64
  behind_a_store
  mov ds, eax
  times 6 nop
  mov eax, [RESULT]
  jmp $
on_a_page loads_fs
  mov eax, HOST64
  behind_a_store
  mov fs, eax
  times 6 nop
  jmp $
on_a_page sets_base
  to_64_bits
  mov eax, 0x1000
  db 0xf3, 0x0f, 0xae, 0xd0       ; wrfsbase eax
  hlt
  bits 32

; There and back again: all of it is open to us, and none of it to the stub, which reads no commands
; any more.
on_a_page protection_keys
  push dword HOST32
  push dword .back
  to_64_bits
  mov eax, 0x55555554
  xor ecx, ecx
  xor edx, edx
  mov ebx, .hidden + 2
  jmp rbx
.hidden:
  db 0xc7, 0x05
  db 0x0f, 0x01, 0xef             ; wrpkru
  db 0xca, 0, 0                   ; retf
  times 2 nop
  bits 32
.back:
  mov dword [RESULT], 5
  mov eax, [RESULT]
  push eax
  pop ebx
  user_exit
