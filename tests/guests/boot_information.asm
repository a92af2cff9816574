; A Multiboot kernel's code, entered at its first byte: says on COM1 what the loader left, one line a
; thing, and ends with 0. Assembled with -DORG=<where it is loaded> by boot_shapes_test.py.
bits 32
%ifndef ORG
%define ORG 0x100000
%endif
org ORG
entry:
  mov esp, stack_top
  mov [magic], eax
  mov [information], ebx
  mov al, 'S'                     ; the state: EAX, CR0, EFLAGS, the first and last byte of the bss
  call character
  mov eax, [magic]
  call number
  mov eax, cr0
  call number
  pushfd
  pop eax
  call number
  mov eax, [bss_first]
  call number
  mov eax, [bss_first + 0x1ffc]
  call number
  call newline
  mov ebx, [information]
  mov al, 'I'                     ; flags, memory below and above
  call character
  mov eax, [ebx]
  call number
  mov eax, [ebx + 4]
  call number
  mov eax, [ebx + 8]
  call number
  call newline
  mov al, 'C'                     ; command line
  call character
  mov esi, [ebx + 16]
  call text
  call newline
  mov ecx, [ebx + 20]
  mov edi, [ebx + 24]
  jecxz .no_modules
.module:
  mov al, 'M'                     ; a module: page offset, bytes, its string
  call character
  mov eax, [edi]
  and eax, 0xfff
  call number
  mov eax, [edi + 4]
  sub eax, [edi]
  call number
  mov al, ' '
  call character
  mov esi, [edi + 8]
  call text
  call newline
  add edi, 16
  dec ecx
  jnz .module
.no_modules:
  test dword [ebx], 0x800
  jz .no_vbe
  mov al, 'V'                     ; VBE: signature, width and height, pixels' bits, address
  call character
  mov esi, [ebx + 72]
  mov eax, [esi]
  call number
  mov esi, [ebx + 76]
  mov eax, [esi + 18]
  call number
  movzx eax, byte [esi + 25]
  call number
  mov eax, [esi + 40]
  call number
  call newline
.no_vbe:
  test dword [ebx], 0x1000
  jz .no_screen
  mov al, 'F'                     ; address, bytes a line, width, height, bits and type, a pixel
  call character
  mov eax, [ebx + 88]
  call number
  mov eax, [ebx + 96]
  call number
  mov eax, [ebx + 100]
  call number
  mov eax, [ebx + 104]
  call number
  movzx eax, word [ebx + 108]
  call number
  mov esi, [ebx + 88]
  mov dword [esi], 0x00ff8040
  mov eax, [esi]
  call number
  call newline
.no_screen:
  mov dx, 0x510                   ; fw_cfg: its signature
  xor eax, eax
  out dx, ax
  inc dx
  mov ecx, 4
  mov al, 'Q'
  call character
.signature:
  in al, dx
  call character
  loop .signature
  call newline
  xor al, al
  out 0xf4, al
  cli
  hlt
character:                        ; AL
  push edx
  mov dx, 0x3f8
  out dx, al
  pop edx
  ret
newline:
  mov al, 10
  jmp character
text:                             ; ESI
  lodsb
  test al, al
  jz .done
  call character
  jmp text
.done:
  ret
number:                           ; EAX, eight digits behind a blank
  push ecx
  push eax
  mov al, ' '
  call character
  pop eax
  mov ecx, 8
.next:
  rol eax, 4
  push eax
  and al, 15
  cmp al, 10
  sbb al, 0x69
  das
  call character
  pop eax
  loop .next
  pop ecx
  ret
magic: dd 0
information: dd 0
align 16
payload_end:
absolute payload_end
resb 1024
stack_top:
bss_first: resb 0x2000
