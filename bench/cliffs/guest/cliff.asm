; One guest for each point of the cliff hunter's grid (bench/cliffs/__main__.py): FAMILY chooses what it
; does, further -D words how. Prints `cliff x OPERATIONS CYCLES`, as rows.inc says.
%include "guest.inc"
%define RESULT "cliff"
%include "rows.inc"

FRAMES equ 0x1000000              ; RAM of its own from 16 MiB on
OTHER_DIR equ SPARE + 0x100000
GENERATED equ SPARE + 0x200000    ; where code is made
REAL_CODE equ 0x8000
FREE1 equ FREE0 + 8
FREE2 equ FREE0 + 16
FREE3 equ FREE0 + 24

%ifndef PAGES
  %define PAGES 16
%endif

%ifndef IN_RING
  %define IN_RING IN_KERNEL
%endif

main:
  call set_up_rows
  call prepare
  mov esi, rows
  call measure
  jmp end_rows

; ---- pages touched: PAGES, SCATTER, RELOAD, GLOBAL, WRITE, IN_RING, BIG ----
%if FAMILY == 1
prepare:
  call paging_on
%ifdef BIG                        ; the same in pages of 4 MiB
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  mov dword [PAGE_DIR + 8], FRAMES + (P | W | U | LARGE)
  mov dword [PAGE_DIR + 12], FRAMES + 0x400000 + (P | W | U | LARGE)
%endif
  xor ecx, ecx
.next:
  mov eax, ecx
%ifdef SCATTER                    ; neighbours in linear space are none in RAM
  imul eax, eax, 769
  and eax, PAGES - 1
%endif
  shl eax, 12
  add eax, FRAMES + FLAGS
  mov [PAGE_TABLES + (VIRTUAL >> 12) * 4 + ecx * 4], eax
  inc ecx
  cmp ecx, PAGES
  jb .next
%ifdef GLOBAL
  mov eax, cr4
  or eax, 0x80
  mov cr4, eax
%endif
  user_page USER_STACK - 0x1000
  mov ecx, addr(user_first)
.user_code:
  mov eax, ecx
  shr eax, 12
  or dword [PAGE_TABLES + eax * 4], U
  add ecx, 0x1000
  cmp ecx, addr(user_last)
  jbe .user_code
  call flush_tlb
  mov edi, IDT_AREA + 0x82 * 8
  mov eax, reload
  mov edx, 0xee00
  call set_gate
  ret
reload:
  push eax
  mov eax, cr3
  mov cr3, eax
  pop eax
  iret
align 4096
user_first:
body:
.turn:
  mov esi, VIRTUAL
  mov ecx, PAGES
.page:
%ifdef WRITE
  mov [esi], cl
%else
  mov al, [esi]
%endif
  add esi, 0x1000
  dec ecx
  jnz .page
%ifdef RELOAD
  %if IN_RING == IN_USER
  int 0x82
  %else
  mov eax, cr3
  mov cr3, eax
  %endif
%endif
  turns_of .turn
%if IN_RING == IN_USER
  int USER_EXIT
%else
  ret
%endif
user_last:
OPERATIONS equ PAGES
%endif

; ---- segment shapes: SHAPE ----
%if FAMILY == 2
OPERATIONS equ 16
prepare:
  call paging_on
  mov ecx, 0
.user:
  or dword [PAGE_TABLES + ecx * 4], U
  inc ecx
  cmp ecx, 0x400
  jb .user
%ifndef GDT_OF_USER              ; as where a small kernel gives ring 3 all of memory
  and dword [PAGE_TABLES + (addr(gdt) >> 12) * 4], ~U
%endif
  call flush_tlb
  gdt_entry FREE0, 0x1000, 0xfffff, 0xc0f3  ; data of ring 3 that does not begin at 0
  gdt_entry FREE1, 0, 0xfffff, 0x40fb       ; code of ring 3 with a limit of 1 MiB less one
  gdt_entry FREE2, 0x1000, 0xfffff, 0xc093  ; data of ring 0 that does not begin at 0
%if SHAPE == 8
  gdt_entry FREE3, 0x1000, 0xfffff, 0xc0f1  ; data of ring 3, read-only
%elif SHAPE == 9
  gdt_entry FREE3, 0x1000, 0x0, 0xc0f7      ; data of ring 3 above the first 4 KiB
%else
  gdt_entry FREE3, 0x1000, 0x3ff, 0xc0f3    ; data of ring 3 with a limit of 4 MiB less one
%endif
  ret
body:
%if SHAPE == 1                    ; ES null in ring 3
  xor eax, eax
  mov es, ax
%elif SHAPE == 2                  ; DS not flat in ring 3
  mov eax, FREE0 | 3
  mov ds, ax
%elif SHAPE == 3                  ; accesses by FS
  mov eax, FREE0 | 3
  mov fs, ax
%elif SHAPE >= 7 && SHAPE <= 9    ; accesses by FS that has a limit, is read-only, expands down
  mov eax, FREE3 | 3
  mov fs, ax
%elif SHAPE == 4                  ; DS not flat in ring 0
  mov eax, FREE2
  mov ds, ax
%elif SHAPE == 6                  ; ES null in ring 0
  xor eax, eax
  mov es, ax
%endif
.turn:
%rep 8
  %if SHAPE == 3 || SHAPE == 7 || SHAPE == 9
  add eax, [fs:USER_STACK - 0x3000]
  mov [fs:USER_STACK - 0x3000], eax
  %elif SHAPE == 8
  add eax, [fs:USER_STACK - 0x3000]
  add eax, [fs:USER_STACK - 0x2ff0]
  %elif SHAPE == 5                ; a segment register loaded each time
  mov ecx, ds
  mov es, cx
  %else
  add eax, [USER_STACK - 0x2000]
  mov [USER_STACK - 0x2000], eax
  %endif
%endrep
  turns_of .turn
%if IN_RING == IN_USER
  int USER_EXIT
%else
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  ret
%endif
%endif

; ---- 16-bit code: MODE 1 protected, 2 real, 3 virtual-8086 ----
%if FAMILY == 3
OPERATIONS equ 64
prepare:
  mov esi, sixteen
  mov edi, REAL_CODE
  mov ecx, sixteen_end - sixteen
  rep movsb
  gdt_entry FREE0, 0, 0xffff, 0x009b  ; 16-bit code
  gdt_entry FREE1, 0, 0xffff, 0x0093  ; 16-bit data
  ret
body:
  mov [saved_esp], esp
%if MODE == 3
  mov dword [TSS_AREA + 4], STACK_TOP - 0x10000
  mov edi, IDT_AREA + 0x83 * 8
  mov eax, from_virtual
  mov edx, 0xee00
  call set_gate
  push dword 0                    ; GS, FS, DS, ES
  push dword 0
  push dword 0
  push dword 0
  push dword 0                    ; SS
  push dword 0x7000
  push dword 0x23002              ; VM, IOPL 3
  push dword 0
  push dword REAL_CODE
  iret
from_virtual:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov esp, [saved_esp]
  ret
%else
  mov eax, cr0
  mov [saved_cr0], eax
  jmp FREE0:REAL_CODE
back:
  mov eax, DATA0
  mov ds, eax
  lidt [idt_pointer]
  mov es, eax
  mov ss, eax
  mov esp, [saved_esp]
  ret
%endif
saved_esp: dd 0
saved_cr0: dd 0
bits 16
sixteen:
%define there(label) (label - sixteen + REAL_CODE)
%if MODE == 1
  %define CODE16 FREE0
%else
  %define CODE16 0
%endif
%if MODE == 1
  mov ax, FREE1
  mov ds, ax
  mov ss, ax
%elif MODE == 2
  mov ax, FREE1                   ; segments of 64 KiB, as the manual asks
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp 0:there(.real)
.real:
  xor ax, ax
  mov ds, ax
  mov ss, ax
%endif
  mov sp, 0x7000
.turn:
%ifndef KIND
  mov cx, 16
.next:
  add ax, [0x6000]
  mov [0x6002], ax
  xor ax, cx
  dec cx
  jnz .next
%elif KIND == 1                   ; calls, returns, the stack
  mov cx, 8
.next:
  push ax
  push cx
  call .callee
  pop cx
  pop ax
  loop .next
%elif KIND == 2                   ; string instructions, one by one
  mov si, 0x6000
  mov di, 0x6800
  mov cx, 13
.next:
  lodsb
  xor al, cl
  stosb
  scasb
  loop .next
%elif KIND == 3                   ; repeated ones
  %rep 16
  mov si, 0x6000
  mov di, 0x6800
  mov cx, 64
  rep movsw
  %endrep
%elif KIND == 4                   ; 32-bit operands, as compilers make for 16-bit code
  mov ecx, 13
.next:
  mov eax, [0x6000]
  lea eax, [eax + ecx * 4]
  mov [0x6004], eax
  dec ecx
  jnz .next
%elif KIND == 5                   ; far calls
  %rep 16
  call CODE16:there(.far_callee)
  %endrep
%elif KIND == 6                   ; a segment register loaded
  %rep 16
  mov ax, ds
  mov es, ax
  mov ax, [es:0x6000]
  add [es:0x6002], ax
  %endrep
%elif KIND == 7                   ; far pointers loaded
  mov word [0x6010], 0x6000
  mov [0x6012], ds
  %rep 16
  les si, [0x6010]
  mov ax, [es:si]
  add [es:si + 2], ax
  %endrep
%elif KIND == 9                   ; INT and IRET in real mode
  o32 lidt [there(.vectors)]
  mov word [0x80 * 4], there(.service)
  mov word [0x80 * 4 + 2], 0
  %rep 16
  int 0x80
  %endrep
%elif KIND == 8                   ; far calls of 16 segments in turn, in real mode
  %assign segment 0
  %rep 16
  call (REAL_CODE >> 4) - segment:(.far_callee - sixteen + segment * 16)
  %assign segment segment + 1
  %endrep
%endif
  dec ebx
  jnz .turn
%if MODE == 3
  int 0x83
%else
  %if MODE == 2
  mov eax, cr0
  or al, 1
  mov cr0, eax
  %endif
  jmp dword CODE0:back
%endif
.callee:
  inc ax
  ret
.far_callee:
  retf
.service:
  iret
.vectors:
  dw 0x3ff
  dd 0
sixteen_end:
bits 32
%endif

; ---- code that is written: HOW ----
%if FAMILY == 4
FUNCTION_BYTES equ 64
prepare:
  call paging_on
  mov edi, GENERATED
  mov ecx, PAGES * 4096 / FUNCTION_BYTES
.function:
  push ecx
  push edi
  mov eax, 0x90909090
  mov ecx, FUNCTION_BYTES / 4
  rep stosd
  pop edi
  mov dword [edi], 0x01c08340     ; inc eax; add eax, 1
  mov byte [edi + 4], 0xc3        ; ret
  add edi, FUNCTION_BYTES
  pop ecx
  loop .function
  ret
body:
.turn:
%if HOW == 1                      ; many functions in turn
  mov edi, GENERATED
  mov ecx, PAGES * 4096 / FUNCTION_BYTES
.next:
  call edi
  add edi, FUNCTION_BYTES
  dec ecx
  jnz .next
OPERATIONS equ PAGES * 4096 / FUNCTION_BYTES
%elif HOW == 2                    ; a store beside the code of its own page
  mov edi, GENERATED
  call edi
  mov [edi + 2048], eax
OPERATIONS equ 1
%elif HOW == 3                    ; an immediate operand patched, the code run
  mov edi, GENERATED
  inc byte [edi + 3]
  call edi
OPERATIONS equ 1
%elif HOW == 4                    ; a page of code made anew and run: what a just-in-time compiler does
  mov edi, GENERATED
  mov ecx, 16
.make:
  mov dword [edi], 0x01c08340
  mov dword [edi + 4], 0x90c39090
  add edi, FUNCTION_BYTES
  dec ecx
  jnz .make
  mov edi, GENERATED
  mov ecx, 16
.run:
  call edi
  add edi, FUNCTION_BYTES
  dec ecx
  jnz .run
OPERATIONS equ 16
%elif HOW == 5                    ; a store of the program's into its own code page, by many sites
%rep 8
  mov [own_data], ebx
%endrep
OPERATIONS equ 8
%endif
  turns_of .turn
  ret
own_data: dd 0
%endif

; ---- modes: WHICH ----
%if FAMILY == 5
OPERATIONS equ 2
prepare:
  call paging_on
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  mov ecx, PAGES
  mov edi, SPARE
.touch:
  mov [edi], ecx
  add edi, 0x1000
  loop .touch
  user_page addr(user_first)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov edi, IDT_AREA + 0x82 * 8
  mov eax, plain_return
  mov edx, 0xee00
  call set_gate
  mov eax, cr0
  and eax, ~8
  mov cr0, eax
  ret
plain_return:
  iret
%macro flip_cr0 1
  mov eax, cr0
  xor eax, %1
  mov cr0, eax
%endmacro
align 4096
user_first:
body:
.turn:
%if WHICH == 1                    ; CR0.WP
  flip_cr0 0x10000
  mov edi, SPARE
  mov ecx, PAGES
.write:
  mov [edi], ecx
  add edi, 0x1000
  dec ecx
  jnz .write
  flip_cr0 0x10000
%elif WHICH == 2                  ; CR0.TS, and the FPU used
  flip_cr0 8
  clts
  fninit
%elif WHICH == 3                  ; CR4.PGE: everything flushed
  mov eax, cr4
  xor eax, 0x80
  mov cr4, eax
  xor eax, 0x80
  mov cr4, eax
  mov eax, [SPARE]
%elif WHICH == 4                  ; paging off and on
  flip_cr0 0x80000000
  mov eax, [SPARE]
  flip_cr0 0x80000000
  mov eax, [SPARE]
%elif WHICH == 5                  ; CR4.PSE
  mov eax, cr4
  xor eax, 0x10
  mov cr4, eax
  xor eax, 0x10
  mov cr4, eax
  mov eax, [SPARE]
%elif WHICH == 6                  ; ring 3 to ring 0 and back
  int 0x82
  int 0x82
%elif WHICH == 7                  ; LGDT and a far jump
  lgdt [gdt_pointer]
  jmp CODE0:.after
.after:
%elif WHICH == 8                  ; LIDT
  lidt [idt_pointer]
  lidt [idt_pointer]
%elif WHICH == 9                  ; WBINVD
  wbinvd
  wbinvd
%elif WHICH == 11                 ; far calls in flat code
  call CODE0:.callee
  call CODE0:.callee
%elif WHICH == 10                 ; debug registers
  mov eax, dr7
  mov dr7, eax
%endif
  turns_of .turn
%if IN_RING == IN_USER
  int USER_EXIT
%else
  ret
.callee:
  retf
%endif
%endif

; ---- devices: PORT, or TEXT ----
%if FAMILY == 6
prepare:
  jmp paging_on
body:
.turn:
%ifdef TEXT
  mov edi, 0xb8000
  mov ecx, 80
.cell:
  %if TEXT == 1
  mov [edi], ax
  %elif TEXT == 2
  mov ax, [edi]
  %else
  add word [edi], 1
  %endif
  add edi, 2
  dec ecx
  jnz .cell
OPERATIONS equ 80
%elifdef STRING_OF
  mov edx, PORT
  mov edi, SPARE
  mov ecx, 64
  rep insb
OPERATIONS equ 64
%else
  mov edx, PORT
%rep 8
  %ifdef IS_OUT
  out dx, al
  %else
  in al, dx
  %endif
%endrep
OPERATIONS equ 8
%endif
  turns_of .turn
  ret
%endif

; ---- translations changed: HOW, PAGES ----
%if FAMILY == 7
OPERATIONS equ PAGES
prepare:
  call paging_on
  mov edi, IDT_AREA + 14 * 8
  mov eax, on_page_fault
  mov edx, 0x8e00
  call set_gate
%if HOW == 5
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
%endif
  mov edi, PAGE_TABLES + (VIRTUAL >> 12) * 4
  mov eax, FRAMES + (P | W)
  mov ecx, PAGES
.next:
  stosd
  add eax, 0x1000
  loop .next
  call flush_tlb
  ret
on_page_fault:                    ; maps the page: demand paging
  push eax
  push edx
  mov eax, cr2
  shr eax, 12
  mov edx, eax
  shl edx, 12
  add edx, FRAMES - VIRTUAL + (P | W)
  mov [PAGE_TABLES + eax * 4], edx
  pop edx
  pop eax
  add esp, 4
  iret
body:
.turn:
  mov edi, PAGE_TABLES + (VIRTUAL >> 12) * 4
  mov esi, VIRTUAL
  mov ecx, PAGES
.page:
%if HOW == 1                      ; entry written, INVLPG, page written
  xor dword [edi], 0x800000
  invlpg [esi]
  mov [esi], ecx
%elif HOW == 2                    ; INVLPG alone, page read
  invlpg [esi]
  mov eax, [esi]
%elif HOW == 3                    ; entry taken away; the access faults and maps it again
  mov dword [edi], 0
  invlpg [esi]
  mov [esi], ecx
%elif HOW == 4                    ; all entries written, then CR3, then all used
  xor dword [edi], 0x800000
%elif HOW == 5                    ; two spaces alike but for their directory
  mov eax, [esi]
%elif HOW == 6                    ; A and D cleared, as an ageing kernel does
  and dword [edi], ~(ACCESSED | DIRTY)
  invlpg [esi]
  mov [esi], ecx
%elif HOW == 7                    ; read-only and writable in turn
  xor dword [edi], W
  invlpg [esi]
  mov eax, [esi]
%endif
  add edi, 4
  add esi, 0x1000
  dec ecx
  jnz .page
%if HOW == 4
  mov eax, cr3
  mov cr3, eax
  mov esi, VIRTUAL
  mov ecx, PAGES
.use:
  mov eax, [esi]
  add esi, 0x1000
  dec ecx
  jnz .use
%elif HOW == 5
  mov eax, cr3
  xor eax, PAGE_DIR ^ OTHER_DIR
  mov cr3, eax
%endif
  turns_of .turn
  ret
%endif

; ---- strings: WHAT, BYTES ----
%if FAMILY == 8
prepare:
  jmp paging_on
body:
  cld
.turn:
%rep 4
  mov esi, SPARE
  mov edi, SPARE + 0x100000
  mov ecx, BYTES
  %if WHAT == 1
  rep movsb
  %elif WHAT == 2
  shr ecx, 2
  rep movsd
  %elif WHAT == 3
  rep stosb
  %elif WHAT == 4
  mov edi, esi
  repe cmpsb
  %elif WHAT == 5
  mov al, 1
  repne scasb
  %elif WHAT == 6
  std
  lea esi, [esi + BYTES - 1]
  lea edi, [edi + BYTES - 1]
  rep movsb
  cld
  %endif
%endrep
OPERATIONS equ 4
  turns_of .turn
  ret
%endif

rows:
  row "x", 0, body, OPERATIONS, IN_RING
rows_end:
